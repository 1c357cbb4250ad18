import numpy as np


def loss(recon, x, mu, logvar):
    bce = -np.sum(x * np.log(recon) + (1 - x) * np.log(1 - recon), axis=1)
    kld = -0.5 * np.sum(1 + logvar - np.square(mu) - np.exp(logvar), axis=-1)
    return np.mean(bce + kld)
