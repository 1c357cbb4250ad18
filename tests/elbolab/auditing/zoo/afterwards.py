"""Losses written after the audit, to see how it does on what it was not made with."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from tests.elbolab.auditing.zoo.specimen import (
    LOGITS,
    MEAN,
    PROBS,
    bce,
    bcel,
    kld,
    normal_log_density,
    specimen,
    summed,
)


@specimen("sampled_kl", roles="mean x mu std z", sigma2=1, beta=1, likelihood="gaussian")
def lightning_bolts(x_hat, x, mu, std, z):
    """Normal(x_hat, exp(log_scale = 0)), summed over channel, height and width; KL at one z."""
    log_p = Normal(x_hat, torch.exp(torch.tensor(0.0))).log_prob(x).sum(dim=(1, 2, 3))
    kl = Normal(mu, std).log_prob(z) - Normal(torch.zeros_like(mu), torch.ones_like(std)).log_prob(z)
    return (kl.sum(-1) - log_p).mean()


@specimen("elbo", roles=LOGITS, beta=1)
def distributions_that_validate(logits, x, mu, logvar):
    """A Bernoulli refuses data that are not binary."""
    q, p = Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return -Independent(Bernoulli(logits=logits), 1).log_prob(x).sum() + kl_divergence(q, p).sum()


@specimen("sampled_kl", roles=LOGITS, beta=1, head="logvar")
def tensorflow_probability_style(logits, x, mu, logvar):
    q = Independent(Normal(mu, (logvar / 2).exp()), 1)
    p = Independent(Normal(torch.zeros_like(mu), 1.0), 1)
    z = q.rsample()
    return (bcel(logits, x).sum(-1) + q.log_prob(z) - p.log_prob(z)).mean()


@specimen("elbo", roles=LOGITS, beta=1)
def sigmoid_then_bce(logits, x, mu, logvar):
    return F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum") + summed(mu, logvar)


@specimen("elbo", roles=PROBS, beta=1)
def a_larger_epsilon(probs, x, mu, logvar):
    return -(x * (probs + 1e-6).log() + (1 - x) * (1 - probs + 1e-6).log()).sum() + summed(mu, logvar)


@specimen("gaussian", roles=MEAN, sigma2=0.1, beta=None)
def gaussian_nll_loss(recon, x, mu, logvar):
    """torch's gaussian_nll_loss leaves out the 2 pi, unless asked."""
    return F.gaussian_nll_loss(recon, x, torch.full_like(x, 0.1), reduction="sum") + summed(mu, logvar)


@specimen("scaled", roles=MEAN, sigma2=0.05, beta=1, scale=0.5)
def half_of_a_gaussian_elbo(recon, x, mu, logvar):
    return 0.5 * (-Normal(recon, math.sqrt(0.05)).log_prob(x).sum() + summed(mu, logvar))


@specimen("gaussian", roles=MEAN, sigma2=1, beta=None)
def squared_error_and_a_drawn_z(recon, x, mu, logvar):
    e = torch.randn_like(mu)
    z = mu + (logvar / 2).exp() * e
    return 0.5 * ((recon - x) ** 2).sum() + 0.5 * (z**2 - e**2 - logvar).sum()


@specimen("elbo", roles=LOGITS, likelihood="poisson", beta=1)
def poisson(logits, x, mu, logvar):
    return F.poisson_nll_loss(logits, x, log_input=True, reduction="sum") + summed(mu, logvar)


@specimen("scaled", roles=LOGITS, beta=1, scale=0.01)
def images_reshaped(logits, x, mu, logvar):
    """view(-1, 3, 64, 64) takes four images of 32 x 32 for one."""
    nll = F.binary_cross_entropy_with_logits(logits.view(-1, 3, 64, 64), x.view(-1, 3, 64, 64), reduction="none")
    return (nll.sum((1, 2, 3)) + kld(mu, logvar).sum(1)).mean()


@specimen("weighted", roles=LOGITS, beta=0.5)
def keras_channels_last(reconstruction, data, mu, logvar):
    """Keras' binary_crossentropy is a mean over the last axis, the channels."""
    return bce_over_channels(reconstruction, data).sum((1, 2)).mean() + kld(mu, logvar).mean()


def bce_over_channels(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").mean(-1)


@specimen("scaled", roles=PROBS, beta=1, says="broadcast")
def broadcast_by_accident(probs, x, mu, logvar):
    return (bce(probs, x).sum(1) + kld(mu, logvar).sum(1, keepdim=True)).sum()


@specimen("elbo", roles=PROBS, beta=1)
def in_place(probs, x, mu, logvar):
    probs.clamp_(1e-7, 1 - 1e-7)
    kl = mu.pow(2).add_(logvar.exp()).mul_(-1).add_(1).add_(logvar)
    return nn.BCELoss(reduction="sum")(probs, x) + torch.sum(kl).mul_(-0.5)


@specimen("elbo", roles="logits x mu logvar z", beta=1)
def z_unused(logits, x, mu, logvar, z):
    return bcel(logits, x).sum() + summed(mu, logvar)


@specimen("elbo", output="sum")
def a_wrong_total_beside_a_right_one(recon_x, x, mu, logvar):
    return {"loss": summed(mu, logvar), "sum": bce(recon_x, x).sum() + summed(mu, logvar)}


@specimen("weighted", beta=1 / 200)
def mean_over_everything_of_one_term(recon_x, x, mu, logvar):
    return bce(recon_x, x).sum() + kld(mu, logvar).mean()


@specimen("weighted", roles=(*PROBS.split(), 0.5, "sum"), beta=0.5)
def values_passed_through(p, x, m, s, beta, reduction):
    return F.binary_cross_entropy(p, x, reduction=reduction) + beta * summed(m, s)


@specimen("capacity", roles=LOGITS, says="50 nats per latent and datum")
def kl_clamped_above(logits, x, mu, logvar):
    return bcel(logits, x).sum() + kld(mu, logvar).clamp(max=50).sum()


@specimen("capacity", roles=LOGITS)
def logarithm_of_the_kl(logits, x, mu, logvar):
    return bcel(logits, x).sum() + torch.log1p(summed(mu, logvar))


@specimen("capacity", roles="logits x mu logvar z")
def free_bits_of_a_sampled_kl(logits, x, mu, logvar, z):
    kl = normal_log_density(z, mu, logvar) - normal_log_density(z, 0 * z, 0 * z)
    return bcel(logits, x).sum() + kl.clamp(min=1).sum()


@specimen("capacity", roles="logits x mu logvar z")
def free_bits_of_a_sampled_kl_in_a_batch(logits, x, mu, logvar, z):
    kl = normal_log_density(z, mu, logvar) - normal_log_density(z, 0 * z, 0 * z)
    return bcel(logits, x).sum() + (kl.mean() - 0.5).abs()


@specimen("other_prior", roles="logits x mu logvar z")
def sampled_against_a_wider_normal(logits, x, mu, logvar, z):
    kl = Normal(mu, (logvar / 2).exp()).log_prob(z) - Normal(0.0, 2.0).log_prob(z)
    return bcel(logits, x).sum() + kl.sum()


@specimen("wrong_kl", roles="logits x mu logvar z", says="2 times")
def prior_counted_twice(logits, x, mu, logvar, z):
    kl = Normal(mu, (logvar / 2).exp()).log_prob(z) - 2 * Normal(0.0, 1.0).log_prob(z)
    return bcel(logits, x).sum() + kl.sum()


@specimen("wrong_kl", roles="logits x mu logvar z")
def sampled_with_the_variance_as_std(logits, x, mu, logvar, z):
    return bcel(logits, x).sum() + (Normal(mu, logvar.exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum()


@specimen("gradient_mismatch", roles="logits x mu logvar z", says="with z, and no gradient")
def detached_z(logits, x, mu, logvar, z):
    kl = Normal(mu, (logvar / 2).exp()).log_prob(z.detach()) - Normal(0.0, 1.0).log_prob(z.detach())
    return bcel(logits, x).sum() + kl.sum()


@specimen("gradient_mismatch", roles=LOGITS, says="with mu, and no gradient")
def a_small_kl_detached(logits, x, mu, logvar):
    return bcel(logits, x).mean() + 1e-5 * kld(mu.detach(), logvar).mean()


@specimen("wrong_kl", roles=LOGITS, says="differently")
def first_latent_alone(logits, x, mu, logvar):
    return bcel(logits, x).sum() + kld(mu, logvar)[:, 0].sum()


@specimen("wrong_kl", roles=LOGITS, says="differently")
def latents_weighted_by_one_on_average(logits, x, mu, logvar):
    return bcel(logits, x).sum() + (torch.linspace(0.5, 1.5, mu.shape[1]) * kld(mu, logvar)).sum()


@specimen("wrong_kl", roles=LOGITS, says="part of its range")
def rectified_log_variance(logits, x, mu, logvar):
    return bcel(logits, x).sum() + kld(mu, logvar.relu()).sum()


@specimen("unknown_kl", roles=LOGITS)
def a_little_more_of_mu(logits, x, mu, logvar):
    return bcel(logits, x).sum() + summed(mu, logvar) + 0.01 * (mu**2).sum()


@specimen("unknown_kl", roles=LOGITS)
def a_fourth_power(logits, x, mu, logvar):
    return bcel(logits, x).sum() + summed(mu, logvar) + 1e-3 * (mu**4).sum()


@specimen("unknown_kl", roles=LOGITS)
def drawn_without_log_q(logits, x, mu, logvar):
    z = mu + (logvar / 2).exp() * torch.randn_like(mu)
    return bcel(logits, x).sum() + 0.5 * (z**2).sum()


@specimen("wrong_sampler", roles=LOGITS, says="standard deviation 0.09")
def drawn_with_little_noise(logits, x, mu, logvar):
    e = 0.1 * torch.randn_like(mu)
    z = mu + (logvar / 2).exp() * e
    return bcel(logits, x).sum() + 0.5 * (z**2 - e**2 - logvar).sum()


@specimen("wrong_sampler", roles=LOGITS, says="not normal")
def drawn_from_a_centred_uniform(logits, x, mu, logvar):
    e = math.sqrt(12) * (torch.rand_like(mu) - 0.5)
    z = mu + (logvar / 2).exp() * e
    return bcel(logits, x).sum() + 0.5 * (z**2 - e**2 - logvar).sum()


@specimen("wrong_sampler", roles=LOGITS, says="several latents")
def drawn_once_for_all_latents(logits, x, mu, logvar):
    e = torch.randn(len(mu), 1, dtype=mu.dtype)
    z = mu + (logvar / 2).exp() * e
    return bcel(logits, x).sum() + 0.5 * (z**2 - e**2 - logvar).sum()


@specimen("wrong_likelihood", roles=LOGITS, says="swapped")
def swapped_with_logits(logits, x, mu, logvar):
    return F.binary_cross_entropy_with_logits(x, logits, reduction="sum") + summed(mu, logvar)


@specimen("wrong_likelihood", roles=PROBS, says="exchanged")
def inverted(probs, x, mu, logvar):
    return F.binary_cross_entropy(1 - probs, x, reduction="sum") + summed(mu, logvar)


@specimen("wrong_likelihood", says="swapped")
def swapped_and_no_roles(recon_x, x, mu, logvar):
    return F.binary_cross_entropy(x, recon_x, reduction="sum") + summed(mu, logvar)


@specimen("not_elbo", roles="logits x mu std z")
def total_correlation(logits, x, mu, std, z):
    """beta-TCVAE: the KL in three parts, the second weighted by 6, estimated over the batch."""
    pairs = Normal(mu[None], std[None]).log_prob(z[:, None])
    log_joint = torch.logsumexp(pairs.sum(2), 1) - math.log(len(z) * 100)
    log_product = (torch.logsumexp(pairs, 1) - math.log(len(z) * 100)).sum(1)
    log_q, log_p = Normal(mu, std).log_prob(z).sum(1), Normal(0.0, 1.0).log_prob(z).sum(1)
    return bcel(logits, x).sum() + (log_q - log_joint + 6 * (log_joint - log_product) + log_product - log_p).sum()


@specimen("shifted", roles=MEAN, beta=1, likelihood="gaussian", says="fitted to each batch")
def optimal_sigma(recon, x, mu, logvar):
    """Rybkin et al., 2021: the variance is that of the batch's error."""
    log_sigma = ((x - recon) ** 2).mean().sqrt().log()
    return (0.5 * ((x - recon) / log_sigma.exp()) ** 2 + log_sigma).sum() + summed(mu, logvar)


@specimen("not_elbo", roles=PROBS)
def two_reconstructions(probs, x, mu, logvar):
    return bce(probs, x).sum() + F.mse_loss(probs, x, reduction="sum") + summed(mu, logvar)


@specimen("not_elbo", roles=PROBS)
def pixels_weighted(probs, x, mu, logvar):
    return (torch.linspace(0.5, 1.5, x[0].numel()) * bce(probs, x)).sum() + summed(mu, logvar)


@specimen("not_elbo", roles=LOGITS)
def logits_regularised(logits, x, mu, logvar):
    return bcel(logits, x).sum() + summed(mu, logvar) + 0.1 * (logits**2).sum()


@specimen("not_elbo", roles=LOGITS, says="random")
def noise_in_the_reconstruction(logits, x, mu, logvar):
    return bcel(F.dropout(logits, 0.2), x).sum() + summed(mu, logvar)


@specimen("not_elbo", roles=PROBS, says="entangled")
def importance_weighted_over_the_batch(probs, x, mu, logvar):
    log_weight = -bce(probs, x).sum(1) - kld(mu, logvar).sum(1)
    return -(torch.logsumexp(log_weight, 0) - math.log(len(log_weight)))


@specimen("not_elbo", roles="mean x z")
def regularised_autoencoder(recon, x, z):
    return F.mse_loss(recon, x) + 0.5 * (z**2).sum(1).mean()


@specimen("other_prior", roles=MEAN, says="variance 0.5", sigma2=1, beta=1)
def a_narrower_prior_and_a_gaussian(recon, x, mu, logvar):
    q, p = Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), math.sqrt(0.5))
    return -Normal(recon, 1.0).log_prob(x).sum() + kl_divergence(q, p).sum()


@specimen("capacity", roles="logits x mu logvar z", says="changes with its size")
def a_sampled_kl_cut_off(logits, x, mu, logvar, z):
    kl = normal_log_density(z, mu, logvar) - normal_log_density(z, 0 * z, 0 * z)
    return bcel(logits, x).sum() + kl.mean().clamp(max=1000)


@specimen("elbo", beta=1, head="logvar")
def input_is_the_reconstruction(input, target, mu, sigma):
    """As in torch.nn.functional: input is the prediction."""
    return F.binary_cross_entropy(input, target, reduction="sum") + summed(mu, sigma)


@specimen("scaled", beta=1, head="logvar")
def input_is_the_data(inputs, outputs, mean, log_var):
    return (bce(outputs, inputs).sum(-1) + kld(mean, log_var).sum(-1)).mean()
