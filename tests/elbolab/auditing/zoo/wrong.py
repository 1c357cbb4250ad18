"""Losses that are wrong, each by one slip, and names that lie."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from tests.elbolab.auditing.zoo.specimen import LOGITS, MEAN, PROBS, bce, bcel, half_exp, kld, specimen

# ---- other priors, wrong signs, wrong KLs ----


@specimen("other_prior", roles=LOGITS, says="variance 4")
def a_wider_prior(logits, x, mu, logvar):
    kl = 0.5 * (math.log(4.0) - logvar + (logvar.exp() + mu**2) / 4 - 1)
    return bcel(logits, x).sum() + kl.sum()


@specimen("other_prior", roles="logits x mu std", says="mean 1.5")
def a_shifted_prior(logits, x, mu, std):
    kl = kl_divergence(Normal(mu, std), Normal(torch.full_like(mu, 1.5), torch.ones_like(std)))
    return bcel(logits, x).sum() + kl.sum()


@specimen("wrong_sign", roles=LOGITS, says="subtracted", beta=-1)
def kl_subtracted(logits, x, mu, logvar):
    return bcel(logits, x).sum() - kld(mu, logvar).sum()


@specimen("wrong_sign", roles=LOGITS, says="to be maximised")
def the_elbo_itself(logits, x, mu, logvar):
    return -bcel(logits, x).sum() - kld(mu, logvar).sum()


@specimen("wrong_sign", roles=PROBS, says="reconstruction is maximised")
def log_likelihood_added(probs, x, mu, logvar):
    return (x * probs.log() + (1 - x) * (1 - probs).log()).sum() + kld(mu, logvar).sum()


@specimen("wrong_kl", roles="logits x mu logstd", says="not squared")
def vgae_not_squared(preds, labels, mu, logstd):
    kl = -0.5 * (1 + 2 * logstd - mu**2 - logstd.exp()).sum(1).mean()
    return bcel(preds, labels).mean() + kl


@specimen("wrong_kl", roles=LOGITS, says="exp(2 h)")
def squared_twice(logits, x, mu, logvar):
    return bcel(logits, x).sum() - 0.5 * (1 + logvar - mu**2 - logvar.exp() ** 2).sum()


@specimen("wrong_kl", roles=LOGITS, says="entropy")
def entropy_forgotten(logits, x, mu, logvar):
    return bcel(logits, x).sum() - 0.5 * (1 - mu**2 - logvar.exp()).sum()


@specimen("wrong_kl", roles=LOGITS, says="sign of exp(logvar)")
def sign_of_the_variance(logits, x, mu, logvar):
    return bcel(logits, x).sum() - 0.5 * (1 + logvar - mu**2 + logvar.exp()).sum()


@specimen("wrong_kl", roles=LOGITS, says="before mu^2")
def half_of_one_term(logits, x, mu, logvar):
    return bcel(logits, x).sum() + (mu**2 - 0.5 * (1 + logvar - logvar.exp())).sum()


@specimen("wrong_kl", roles=LOGITS, says="not squared")
def mean_not_squared(logits, x, mu, logvar):
    return bcel(logits, x).sum() - 0.5 * (1 + logvar - mu - logvar.exp()).sum()


@specimen("wrong_kl", roles=LOGITS, says="wrong way round")
def reversed_kl(logits, x, mu, logvar):
    q = Normal(mu, (0.5 * logvar).exp())
    return bcel(logits, x).sum() + kl_divergence(Normal(torch.zeros_like(mu), 1.0), q).sum()


@specimen("wrong_kl", roles="logits x mu std", says="not squared")
def std_not_squared(logits, x, mu, std):
    return bcel(logits, x).sum() + 0.5 * (mu**2 + std - 1 - torch.log(std**2)).sum()


@specimen("wrong_kl", roles="logits x mu std", head="logvar", says="said to be a std")
def log_variance_formula_on_a_std(logits, x, mu, std):
    return bcel(logits, x).sum() + kld(mu, std).sum()


@specimen("wrong_kl", roles=LOGITS, says="variance is not charged")
def mean_alone(logits, x, mu, logvar):
    return bcel(logits, x).sum() + 0.5 * (mu**2).sum() + 0 * logvar.sum()


# ---- wrong likelihoods ----


@specimen("wrong_likelihood", roles=PROBS, says="twice")
def double_sigmoid(probs, x, mu, logvar):
    """A decoder that ends in a sigmoid, and BCE with logits."""
    return F.binary_cross_entropy_with_logits(probs, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("wrong_likelihood", roles=LOGITS, says="twice")
def double_sigmoid_inside(logits, x, mu, logvar):
    return bcel(logits.sigmoid(), x).sum() + kld(mu, logvar).sum()


@specimen("wrong_likelihood", roles=PROBS, says="swapped")
def swapped(probs, x, mu, logvar):
    return F.binary_cross_entropy(x, probs, reduction="sum") + kld(mu, logvar).sum()


@specimen("wrong_likelihood", roles=LOGITS, says="swapped")
def swapped_after_a_sigmoid(logits, x, mu, logvar):
    return F.binary_cross_entropy(x, logits.sigmoid(), reduction="sum") + kld(mu, logvar).sum()


@specimen("wrong_likelihood", roles=LOGITS, says="missing")
def no_sigmoid(logits, x, mu, logvar):
    return F.binary_cross_entropy(logits, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("wrong_likelihood", roles=PROBS, says="only x log p")
def half_of_the_cross_entropy(probs, x, mu, logvar):
    return -(x * (probs + 1e-8).log()).sum() + kld(mu, logvar).sum()


@specimen("wrong_likelihood", roles=LOGITS, says="ones weigh 3 times")
def positive_weight(logits, x, mu, logvar):
    weight = torch.tensor(3.0, dtype=x.dtype)
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum", pos_weight=weight) + kld(mu, logvar).sum()


# ---- wrong samplers ----


def exp_logvar_as_std(mu, logvar):
    return mu + logvar.exp() * torch.randn_like(mu)


@specimen("wrong_sampler", roles=PROBS, reparameterize=exp_logvar_as_std, beta=392, says="logstd")
def keras_deconvolution(x_decoded, x, z_mean, z_log_var):
    """Keras' deconvolutional example: z = mean + exp(log_var) * epsilon."""
    kl = -0.5 * torch.mean(1 + z_log_var - z_mean**2 - z_log_var.exp(), -1)
    return torch.mean(bce(x_decoded, x).mean(1) + kl)


@specimen("wrong_sampler", roles=PROBS, reparameterize=lambda args: args[0] + 0.01 * half_exp(0, args[1]), says="0.01")
def epsilon_std(probs, x, mu, logvar):
    """Keras, 2016: epsilon_std = 0.01."""
    return bce(probs, x).sum() + kld(mu, logvar).sum()


@specimen(
    "wrong_sampler", roles=PROBS, reparameterize=lambda m, s: m + (s / 2).exp() * torch.rand_like(m), says="uniform"
)
def uniform_noise(probs, x, mu, logvar):
    return bce(probs, x).sum() + kld(mu, logvar).sum()


@specimen(
    "wrong_sampler",
    roles=PROBS,
    reparameterize=lambda m, s: m + (s / 2).exp() * math.sqrt(12) * (torch.rand_like(m) - 0.5),
    says="not normal",
)
def centred_uniform_noise(probs, x, mu, logvar):
    return bce(probs, x).sum() + kld(mu, logvar).sum()


@specimen("wrong_sampler", roles=PROBS, reparameterize=lambda m, s: torch.normal(m, (s / 2).exp()), says="no gradient")
def not_reparameterized(probs, x, mu, logvar):
    return bce(probs, x).sum() + kld(mu, logvar).sum()


@specimen("wrong_sampler", roles=PROBS, reparameterize=lambda m, s: m, says="no noise")
def deterministic(probs, x, mu, logvar):
    return bce(probs, x).sum() + kld(mu, logvar).sum()


# ---- what autograd does not follow ----


@specimen("gradient_mismatch", roles=LOGITS, says="head")
def detached_head(logits, x, mu, logvar):
    return bcel(logits, x).sum() + kld(mu, logvar.detach()).sum()


@specimen("gradient_mismatch", roles=LOGITS)
def kl_without_gradient(logits, x, mu, logvar):
    with torch.no_grad():
        kl = kld(mu, logvar).sum()
    return bcel(logits, x).sum() + kl


@specimen("gradient_mismatch", roles=LOGITS, says="output")
def reconstruction_as_data(logits, x, mu, logvar):
    return bcel(logits.data, x).sum() + kld(mu, logvar).sum()


# ---- no ELBO ----


@specimen("not_elbo", roles=MEAN)
def antixk_iwae(recons, x, mu, log_var):
    """PyTorch-VAE's IWAE: the loss weighted by the softmax of itself, so that the worst sample weighs most."""
    log_weight = ((recons - x) ** 2).flatten(2).mean(-1) + 0.00025 * kld(mu, log_var).sum(2)
    return (F.softmax(log_weight, -1) * log_weight).sum(-1).mean()


@specimen("not_elbo", roles=MEAN, says="there is no KL")
def autoencoder(recon, x, mu, logvar):
    return F.mse_loss(recon, x, reduction="sum") + 0 * mu.sum()


@specimen("not_elbo", roles=MEAN, says="no reconstruction")
def kl_alone(recon, x, mu, logvar):
    return kld(mu, logvar).sum() + 0 * recon.sum()


@specimen("not_elbo", roles=MEAN, says="root")
def root_mean_squared_error(recon, x, mu, logvar):
    return torch.sqrt(F.mse_loss(recon, x)) + kld(mu, logvar).sum(1).mean()


@specimen("unknown_likelihood", roles=MEAN)
def huber(recon, x, mu, logvar):
    return F.smooth_l1_loss(recon, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("unknown_likelihood", roles=MEAN)
def cosine(recon, x, mu, logvar):
    return -F.cosine_similarity(recon.flatten(1), x.flatten(1)).sum() + kld(mu, logvar).sum()


@specimen("not_elbo", roles="mean x z")
def wasserstein(recon, x, z):
    """A Wasserstein auto-encoder: squared error and a kernel's distance between latents."""
    prior = torch.randn_like(z)

    def kernel(a, b):
        return (-((a[:, None] - b[None]) ** 2).sum(2)).exp().mean()

    return F.mse_loss(recon, x) + kernel(z, z) + kernel(prior, prior) - 2 * kernel(z, prior)


@specimen("not_elbo", roles=LOGITS, says="couples")
def covariance_penalty(logits, x, mu, logvar):
    """DIP-VAE without its KL."""
    covariance = torch.cov(mu.T)
    return bcel(logits, x).sum(1).mean() + ((covariance - torch.eye(len(covariance))) ** 2).sum() + 0 * logvar.sum()


@specimen("raises", roles=PROBS, says="args")
def a_global_is_missing(probs, x, mu, logvar):
    return bce(probs, x).sum() + args.beta * kld(mu, logvar).sum()  # noqa: F821


# ---- names that lie, and no names ----


@specimen("elbo", beta=1, head="logvar", says="`sigma` is charged as a logvar")
def sigma_is_a_log_variance(recon_x, x, mu, sigma):
    return bce(recon_x, x).sum() + kld(mu, sigma).sum()


@specimen("wrong_kl", beta=1, head="logstd", says="`logvar` is charged as a logstd")
def logvar_is_a_log_std(recon_x, x, mu, logvar):
    return bce(recon_x, x).sum() + (0.5 * (mu**2 + (2 * logvar).exp() - 1) - logvar).sum()


@specimen("elbo", beta=1, head="logvar", likelihood="bernoulli")
def nameless(a, b, c, d):
    return bce(a, b).sum() + kld(c, d).sum()


@specimen("elbo", beta=1, head="logvar", likelihood="bernoulli")
def nameless_in_another_order(a, b, c, d):
    return bcel(d, a).sum() + kld(c, b).sum()


@specimen("scaled", beta=1, likelihood="bernoulli")
def y_is_the_data(y_hat, y, m, s):
    return (bcel(y_hat, y).sum(1) + kld(m, s).sum(1)).mean()


@specimen("weighted", beta=7, kwargs={"weight": 7.0})
def weight_by_keyword(recon_x, x, mu, logvar, weight):
    return bce(recon_x, x).sum() + weight * kld(mu, logvar).sum()
