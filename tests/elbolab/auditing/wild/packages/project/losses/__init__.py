from .kl import gaussian_kl
