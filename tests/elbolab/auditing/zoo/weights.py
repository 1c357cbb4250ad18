"""Losses whose KL is weighted, sampled or bent, and squared errors, of which only sigma^2 beta is seen."""

import torch
import torch.nn.functional as F
from torch.distributions import Laplace, Normal

from tests.elbolab.auditing.zoo.specimen import (
    LOGITS,
    MEAN,
    PROBS,
    bce,
    bcel,
    kld,
    normal_log_density,
    specimen,
)

# ---- squared error: only sigma^2 beta is seen ----


@specimen("gaussian", roles=MEAN, beta=None, sigma2=0.5, head="logvar")
def squared_error_summed(recon, x, mu, logvar):
    return F.mse_loss(recon, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("gaussian", roles=MEAN, beta=None, sigma2=1, head="logvar")
def half_squared_error(recon, x, mu, logvar):
    return 0.5 * ((recon - x) ** 2).sum() + kld(mu, logvar).sum()


@specimen("weighted", roles=MEAN, beta=None, sigma2=392, says="posterior collapse")
def mean_squared_error_beside_a_summed_kl(recon, x, mu, logvar):
    return F.mse_loss(recon, x) + kld(mu, logvar).sum(1).mean()


@specimen("weighted", roles=(*MEAN.split(), 0.00025), beta=None, sigma2=0.00025 * 392, head="logvar")
def antixk_vanilla(recons, input, mu, log_var, m_n):
    """PyTorch-VAE: MSE mean + M_N KL, M_N = batch / data."""
    loss = F.mse_loss(recons, input) + m_n * torch.mean(kld(mu, log_var).sum(1), 0)
    return {"loss": loss, "Reconstruction_Loss": F.mse_loss(recons, input).detach(), "KLD": -kld(mu, log_var).sum()}


@specimen("weighted", roles=PROBS, beta=0.00025 * 784, kwargs={"m_n": 0.00025})
def antixk_with_bce(recons, x, mu, log_var, m_n):
    return F.binary_cross_entropy(recons, x) + m_n * kld(mu, log_var).sum(1).mean(0)


@specimen("gaussian", roles=LOGITS, sigma2=0.5, beta=None)
def squared_error_of_a_sigmoid(logits, x, mu, logvar):
    return ((logits.sigmoid() - x) ** 2).sum() + kld(mu, logvar).sum()


@specimen("gaussian", sigma2=4 / 2, beta=None)
def beta_and_squared_error(x_hat, x, mu, logvar):
    return ((x_hat - x) ** 2).flatten(1).sum(1).mean() + 4 * kld(mu, logvar).sum(1).mean()


# ---- weighted ----


@specimen("weighted", likelihood="bernoulli", beta=392, head="logvar")
def keras_blog(x, x_decoded_mean, z_mean, z_log_var):
    """Keras blog, 2016: mean BCE - 0.5 mean(1 + ...): beta = data / latent."""
    return bce(x_decoded_mean, x).mean(-1) - 0.5 * torch.mean(1 + z_log_var - z_mean**2 - z_log_var.exp(), -1)


@specimen("weighted", likelihood="bernoulli", beta=0.5, head="logvar")
def keras_io_2020(data, reconstruction, z_mean, z_log_var):
    """Keras-IO, 2020: mean BCE * 28 * 28 - 0.5 mean(1 + ...): beta = 1 / latent."""
    xent = F.binary_cross_entropy(reconstruction, data) * 28 * 28
    return xent - 0.5 * torch.mean(1 + z_log_var - z_mean**2 - z_log_var.exp())


@specimen("weighted", roles=PROBS, beta=0.392)
def chollet_first_edition(z_decoded, x, z_mean, z_log_var):
    """Deep Learning with Python, 1st edition: mean BCE - 5e-4 mean(1 + ...)."""
    kl = -5e-4 * torch.mean(1 + z_log_var - z_mean**2 - z_log_var.exp(), -1)
    return torch.mean(bce(z_decoded, x).mean(-1) + kl)


@specimen("weighted", roles=PROBS, beta=0.5)
def chollet_second_edition(reconstruction, data, z_mean, z_log_var):
    """2nd edition: BCE summed over the image, KL averaged over all: beta = 1 / latent."""
    nll = F.binary_cross_entropy(reconstruction, data, reduction="none").sum((1, 2)).mean()
    return nll + torch.mean(-0.5 * (1 + z_log_var - z_mean**2 - z_log_var.exp()))


@specimen("weighted", roles=LOGITS, kwargs={"beta": 4.0}, beta=4)
def beta_vae(logits, x, mu, logvar, beta=1.0):
    return bcel(logits, x).sum(1).mean() + beta * kld(mu, logvar).sum(1).mean()


@specimen("weighted", roles=LOGITS, beta=1.001)
def a_thousandth_too_much(logits, x, mu, logvar):
    return bcel(logits, x).sum() + 1.001 * kld(mu, logvar).sum()


@specimen("weighted", roles=LOGITS, beta=2)
def without_the_half(logits, x, mu, logvar):
    return bcel(logits, x).sum() - (1 + logvar - mu**2 - logvar.exp()).sum()


@specimen("weighted", roles=LOGITS, beta=100)
def mean_over_the_batch_of_one_term(logits, x, mu, logvar):
    return bcel(logits, x).sum(1).mean() + kld(mu, logvar).sum()


@specimen("weighted", roles=PROBS, beta=784)
def mean_over_pixels_of_one_term(probs, x, mu, logvar):
    return F.binary_cross_entropy(probs, x) + kld(mu, logvar).sum(1).mean()


@specimen("weighted", roles=LOGITS, beta=0.5)
def mean_over_latents_of_one_term(logits, x, mu, logvar):
    return bcel(logits, x).sum(1).mean() + kld(mu, logvar).mean(1).mean()


@specimen("weighted", roles=MEAN, beta=784, likelihood="laplace")
def mean_absolute_error(recon, x, mu, logvar):
    return F.l1_loss(recon, x) + kld(mu, logvar).sum(1).mean()


@specimen("weighted", roles="logits x mu logstd", beta=1 / 784, head="logstd", kwargs={"n_nodes": 784})
def vgae(preds, labels, mu, logstd, n_nodes):
    """Graph auto-encoder: mean BCE over the adjacency, KL / nodes averaged over nodes; here of 784 x 784."""
    kl = -0.5 / n_nodes * (1 + 2 * logstd - mu**2 - logstd.exp() ** 2).sum(1).mean()
    return bcel(preds, labels).sum(1).mean() + kl


@specimen("weighted", roles=MEAN, beta=0.1, sigma2=0.25)
def weighted_gaussian_with_its_constant(recon, x, mu, logvar):
    return -Normal(recon, 0.5).log_prob(x).sum() + 0.1 * kld(mu, logvar).sum()


# ---- sampled ----


@specimen("sampled_kl", roles="logits x mu logvar z", beta=1, head="logvar")
def tensorflow_cvae(x_logit, x, mean, logvar, z):
    """TensorFlow's CVAE tutorial: -(log p(x|z) + log p(z) - log q(z|x)) at one z, averaged over the batch."""
    log_p = normal_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
    return -torch.mean(-bcel(x_logit, x).sum(1) + log_p - normal_log_density(z, mean, logvar))


@specimen("sampled_kl", roles="logits x mu logvar", beta=1, head="logvar")
def drawn_inside(logits, x, mu, logvar):
    z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
    log_p = normal_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
    return (bcel(logits, x).sum(1) + normal_log_density(z, mu, logvar) - log_p).mean()


@specimen("sampled_kl", roles="logits x mu std", beta=1, head="std")
def five_draws_inside(logits, x, mu, std):
    q, p = Normal(mu, std), Normal(torch.zeros_like(mu), torch.ones_like(std))
    z = q.rsample((5,))
    return bcel(logits, x).sum() + (q.log_prob(z) - p.log_prob(z)).mean(0).sum()


@specimen("sampled_kl", roles="probs x mu logvar eps", beta=1)
def noise_as_an_argument(probs, x, mu, logvar, eps):
    z = mu + (logvar / 2).exp() * eps
    kl = -0.5 * (logvar + eps**2).sum() + 0.5 * (z**2).sum()
    return bce(probs, x).sum() + kl


@specimen("sampled_kl", roles="logits x mu std z", beta=1, head="std", says="sticking the landing")
def sticking_the_landing(logits, x, mu, std, z):
    q = Normal(mu.detach(), std.detach())
    log_p = Normal(torch.zeros_like(z), 1.0).log_prob(z)
    return bcel(logits, x).sum() + (q.log_prob(z) - log_p).sum()


@specimen("weighted", roles="logits x mu std z", beta=3, head="std")
def sampled_and_weighted(logits, x, mu, std, z):
    kl = Normal(mu, std).log_prob(z) - Normal(torch.zeros_like(z), 1.0).log_prob(z)
    return bcel(logits, x).sum(1) + 3 * kl.sum(1)


@specimen("other_prior", roles="logits x mu std z", says="log p(z)")
def sampled_against_a_laplace_prior(logits, x, mu, std, z):
    kl = Normal(mu, std).log_prob(z) - Laplace(torch.zeros_like(z), 1.0).log_prob(z)
    return bcel(logits, x).sum(1) + kl.sum(1)


@specimen("wrong_kl", roles="logits x mu std z", says="log p(z) is not")
def prior_forgotten(logits, x, mu, std, z):
    return bcel(logits, x).sum(1) + Normal(mu, std).log_prob(z).sum(1)


@specimen("wrong_sampler", roles=LOGITS, head="logvar", says="logstd")
def drawn_inside_with_exp_logvar_as_std(logits, x, mu, logvar):
    z = mu + logvar.exp() * torch.randn_like(mu)
    log_p = normal_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
    return bcel(logits, x).sum() + (normal_log_density(z, mu, logvar) - log_p).sum()


# ---- capacity and free bits ----


@specimen("capacity", roles=LOGITS, says="C = 25 nats per datum, averaged over the batch")
def beta_vae_capacity(logits, x, mu, logvar):
    """Burgess et al., 2018: gamma |KL - C|."""
    return bcel(logits, x).sum(1).mean() + 30 * (kld(mu, logvar).sum(1).mean() - 25).abs()


@specimen("capacity", roles=MEAN, says="up to 16 nats per datum")
def world_models(y, x, mu, logvar):
    """Ha and Schmidhuber, 2018: max(KL, 0.5 * 32) per datum."""
    error = ((y - x) ** 2).flatten(1).sum(1).mean()
    return error + kld(mu, logvar).sum(1).clamp(min=0.5 * 32).mean()


@specimen("capacity", roles=LOGITS, says="0.25 nats per latent, averaged")
def free_bits_per_latent(logits, x, mu, logvar):
    """Kingma et al., 2016: max(lambda, batch mean of the KL) per latent."""
    return bcel(logits, x).sum(1).mean() + kld(mu, logvar).mean(0).clamp(min=0.25).sum()


@specimen("capacity", roles=LOGITS, says="2 nats per latent and datum")
def free_bits_per_latent_and_datum(logits, x, mu, logvar):
    return bcel(logits, x).sum(1).mean() + kld(mu, logvar).clamp(min=2).sum(1).mean()


@specimen("capacity", roles=LOGITS, says="curve")
def squared_kl(logits, x, mu, logvar):
    return bcel(logits, x).sum(1).mean() + (kld(mu, logvar).sum(1) ** 2).mean()
