"""Losses as they are found in the wild, each written here from its formula, with what the audit has to say of it.

`beta` and `sigma2` are those at 100 data of 784 numbers and 2 latents, where they depend on the sizes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, ContinuousBernoulli, Independent, Laplace, Normal, kl_divergence

ZOO: dict[str, "Specimen"] = {}


@dataclass(frozen=True)
class Specimen:
    loss: Callable[..., Any]
    kind: str
    roles: tuple[Any, ...] | None = None
    reparameterize: Callable[..., Any] | None = None
    output: Any = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    says: str = ""


def specimen(kind, *, roles=None, reparameterize=None, output=None, kwargs=None, says="", **expected):
    def collect(loss):
        assert loss.__name__ not in ZOO
        given = roles.split() if isinstance(roles, str) else roles
        ZOO[loss.__name__] = Specimen(
            loss, kind, given and tuple(given), reparameterize, output, kwargs or {}, expected, says
        )
        return loss

    return collect


def bce(probs, x):
    return F.binary_cross_entropy(probs, x, reduction="none").flatten(1)


def bcel(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)


def kld(mu, logvar):
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())


def half_exp(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(logvar)


PROBS, LOGITS, MEAN = "probs x mu logvar", "logits x mu logvar", "mean x mu logvar"

# ---- right, in every unit ----


@specimen("elbo", likelihood="bernoulli", beta=1, head="logvar", scale=1, reparameterize=half_exp)
def pytorch_examples_now(recon_x, x, mu, logvar):
    """pytorch/examples: BCE summed + KL summed, on flattened MNIST."""
    reconstruction = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    return reconstruction - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@specimen("scaled", likelihood="bernoulli", beta=1, head="logvar", scale=1 / 78400)
def pytorch_examples_2017(recon_x, x, mu, logvar):
    """pytorch/examples, 2017: BCE mean + KL / (batch * 784)."""
    reconstruction = F.binary_cross_entropy(recon_x, x.view(-1, 784))
    return reconstruction + kld(mu, logvar).sum() / (len(x) * 784)


@specimen("weighted", roles=PROBS, likelihood="bernoulli", beta=100 / 128, head="logvar", says="last, smaller batch")
def pytorch_examples_2017_with_its_batch_size_written_in(recon_x, x, mu, logvar):
    """The same with args.batch_size = 128: right for full batches alone."""
    return F.binary_cross_entropy(recon_x, x.view(-1, 784)) + kld(mu, logvar).sum() / (128 * 784)


@specimen("elbo", roles=LOGITS, beta=1, head="logvar", likelihood="bernoulli")
def logits_summed(logits, x, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("scaled", roles=LOGITS, beta=1, head="logvar", scale=0.01)
def mean_over_the_batch(logits, x, mu, logvar):
    return (bcel(logits, x).sum(1) + kld(mu, logvar).sum(1)).mean()


@specimen("elbo", roles=LOGITS, beta=1, head="logvar")
def one_value_per_datum(logits, x, mu, logvar):
    return bcel(logits, x).sum(1) + kld(mu, logvar).sum(1)


@specimen("scaled", roles=LOGITS, beta=1, scale=math.log2(math.e) / 784 / 100)
def bits_per_dimension(logits, x, mu, logvar):
    return (bcel(logits, x).sum(1) + kld(mu, logvar).sum(1)).mean() / (x[0].numel() * math.log(2))


@specimen("scaled", roles=PROBS, beta=1, scale=3.7)
def an_odd_factor(probs, x, mu, logvar):
    return 3.7 * (bce(probs, x).sum() + kld(mu, logvar).sum())


@specimen("elbo", roles=PROBS, beta=1, head="logvar")
def logarithms_with_an_epsilon(probs, x, mu, logvar):
    """TensorFlow 1 tutorials: x log(1e-8 + p) + (1 - x) log(1e-8 + 1 - p)."""
    likelihood = x * torch.log(1e-8 + probs) + (1 - x) * torch.log(1e-8 + 1 - probs)
    return -likelihood.sum() + kld(mu, logvar).sum()


@specimen("elbo", roles="probs x mu std", beta=1, head="std")
def hwalsuklee_std_with_an_epsilon(y, x, mu, sigma):
    """mu^2 + sigma^2 - log(1e-8 + sigma^2) - 1, with p clipped to 1e-8."""
    y = y.clamp(1e-8, 1 - 1e-8)
    likelihood = (x * y.log() + (1 - x) * (1 - y).log()).sum(1)
    return (-likelihood + 0.5 * (mu**2 + sigma**2 - torch.log(1e-8 + sigma**2) - 1).sum(1)).sum()


@specimen("elbo", roles=LOGITS, beta=1, head="logvar")
def clamped_log_variance(logits, x, mu, logvar):
    """Latent diffusion's diagonal Gaussian clamps its log-variance to [-30, 20]."""
    return bcel(logits, x).sum() + kld(mu, logvar.clamp(-30, 20)).sum()


@specimen("elbo", roles="logits x mu logstd", beta=1, head="logstd")
def log_standard_deviation(logits, x, mu, log_std):
    kl = -log_std + 0.5 * ((2 * log_std).exp() + mu**2) - 0.5
    return bcel(logits, x).sum() + kl.sum()


@specimen("elbo", roles="logits x mu var", beta=1, head="var")
def variance(logits, x, mu, var):
    return bcel(logits, x).sum() + 0.5 * (mu**2 + var - 1 - var.log()).sum()


@specimen("scaled", roles="logits x mu std", beta=1, head="std")
def torch_distributions(logits, x, mu, std):
    kl = kl_divergence(Normal(mu, std), Normal(torch.zeros_like(mu), torch.ones_like(std))).sum(-1)
    return torch.mean(bcel(logits, x).sum(-1) + kl)


@specimen("elbo", roles="logits x mu head", beta=1, head="softplus std")
def softplus_head(logits, x, mu, s):
    std = F.softplus(s)
    return bcel(logits, x).sum() + (0.5 * (mu**2 + std**2 - 1) - std.log()).sum()


@specimen("elbo", roles=PROBS, beta=1, likelihood="continuous_bernoulli")
def continuous_bernoulli(probs, x, mu, logvar):
    return -ContinuousBernoulli(probs=probs).log_prob(x).sum() + kld(mu, logvar).sum()


@specimen("elbo", roles=LOGITS, beta=1, likelihood="continuous_bernoulli")
def continuous_bernoulli_logits(logits, x, mu, logvar):
    return -ContinuousBernoulli(logits=logits).log_prob(x).sum() + kld(mu, logvar).sum()


@specimen("elbo", roles=LOGITS, beta=1, likelihood="categorical")
def text_vae(logits, tokens, mu, logvar):
    """Cross-entropy over a vocabulary, summed over the tokens; logits (batch, token, word)."""
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="sum") + kld(mu, logvar).sum()


@specimen("scaled", roles=LOGITS, beta=1, likelihood="categorical")
def pixel_classes(logits, x, mu, logvar):
    """Cross-entropy over intensities; logits (batch, class, height, width)."""
    nll = F.cross_entropy(logits, x, reduction="none").sum((1, 2))
    return (nll + kld(mu, logvar).sum(1)).mean()


@specimen("scaled", roles=PROBS, beta=1, head="logvar")
def keras_with_original_dim(x_decoded, x, z_mean, z_log_var):
    """Keras: original_dim * mean BCE - 0.5 sum(...), averaged over the batch; original_dim = 784."""
    xent = 784 * bce(x_decoded, x).mean(-1)
    return (xent + kld(z_mean, z_log_var).sum(-1)).mean()


@specimen("scaled", roles=PROBS, beta=1)
def images_channels_last(probs, x, mu, logvar):
    nll = F.binary_cross_entropy(probs, x, reduction="none").sum((1, 2, 3))
    return (nll + kld(mu, logvar).sum(1)).mean()


@specimen("scaled", roles=(*PROBS.split(), 784), beta=1)
def mean_times_a_passed_size(probs, x, mu, logvar, size):
    return F.binary_cross_entropy(probs, x) * size + kld(mu, logvar).sum(1).mean()


@specimen("elbo", beta=1, output="loss")
def dictionary(logits, x, mu, logvar):
    nll, kl = bcel(logits, x).sum(), kld(mu, logvar).sum()
    return {"loss": nll + kl, "nll": nll.detach(), "kl": kl.detach()}


@specimen("elbo", beta=1)
def dictionary_without_a_choice(logits, x, mu, logvar):
    nll, kl = bcel(logits, x).sum(), kld(mu, logvar).sum()
    return {"nll": nll.detach(), "kl": -kl.detach(), "loss": nll + kl}


@specimen("elbo", beta=1)
def two_parts(recon_x, x, mu, logvar):
    return bce(recon_x, x).sum(), kld(mu, logvar).sum()


@specimen("elbo", beta=1)
def total_and_parts(recon_x, x, mu, logvar):
    nll, kl = bce(recon_x, x).sum(), kld(mu, logvar).sum()
    return nll + kl, nll, kl


@specimen("elbo", beta=1)
def parts_and_total(recon_x, x, mu, logvar):
    nll, kl = bce(recon_x, x).sum(1), kld(mu, logvar).sum(1)
    return nll, kl, nll + kl


@specimen("elbo", beta=1)
def total_and_nested_parts(recon_x, x, mu, logvar):
    nll, kl = bce(recon_x, x).sum(1), kld(mu, logvar).sum(1)
    return (nll + kl).sum(), {"nll": nll.detach(), "kl": kl.detach()}


@specimen("shifted", roles=PROBS, beta=1, offset=-100, says="")
def without_the_one(probs, x, mu, logvar):
    """-0.5 sum(s - m^2 - e^s): half a nat per latent too much, in every datum; here its sign is reversed."""
    return bce(probs, x).sum() - 0.5 * (2 + logvar - mu**2 - logvar.exp()).sum()


@specimen("shifted", roles=LOGITS, beta=1, offset=3)
def plus_three(logits, x, mu, logvar):
    return bcel(logits, x).sum() + kld(mu, logvar).sum() + 3.0


@specimen("shifted", roles=LOGITS, beta=1)
def minus_the_entropy_of_the_data(logits, x, mu, logvar):
    """A KL between pixels instead of a cross-entropy: a function of the data apart."""
    entropy = torch.special.entr(x).sum() + torch.special.entr(1 - x).sum()
    return bcel(logits, x).sum() - entropy + kld(mu, logvar).sum()


@specimen("shifted", roles=MEAN, beta=1, likelihood="laplace")
def absolute_error(recon, x, mu, logvar):
    return F.l1_loss(recon, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("elbo", roles=MEAN, beta=1, likelihood="laplace")
def laplace_with_its_constant(recon, x, mu, logvar):
    return -Laplace(recon, 0.3).log_prob(x).sum() + kld(mu, logvar).sum()


@specimen("elbo", roles=MEAN, beta=1, sigma2=0.01, likelihood="gaussian")
def gaussian_with_its_constant(recon, x, mu, logvar):
    return -Normal(recon, 0.1).log_prob(x).sum() + kld(mu, logvar).sum()


@specimen("scaled", roles=MEAN, beta=1, sigma2=1, likelihood="gaussian")
def unit_gaussian_with_its_constant(recon, x, mu, logvar):
    return (-Normal(recon, 1.0).log_prob(x).flatten(1).sum(1) + kld(mu, logvar).sum(1)).mean()


# ---- squared error: only sigma^2 beta is seen ----


@specimen("gaussian", roles=MEAN, beta=None, sigma2=0.5, head="logvar")
def squared_error_summed(recon, x, mu, logvar):
    return F.mse_loss(recon, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("gaussian", roles=MEAN, beta=None, sigma2=1, head="logvar")
def half_squared_error(recon, x, mu, logvar):
    return 0.5 * ((recon - x) ** 2).sum() + kld(mu, logvar).sum()


@specimen("gaussian", roles=MEAN, beta=None, sigma2=392, says="posterior collapse")
def mean_squared_error_beside_a_summed_kl(recon, x, mu, logvar):
    return F.mse_loss(recon, x) + kld(mu, logvar).sum(1).mean()


@specimen("gaussian", roles=(*MEAN.split(), 0.00025), beta=None, sigma2=0.00025 * 392, head="logvar")
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


def normal_log_density(z, mu, logvar):
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mu) ** 2 / logvar.exp()).sum(1)


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


@specimen("capacity", roles=LOGITS, says="C = 25 nats per datum, on average over the batch")
def beta_vae_capacity(logits, x, mu, logvar):
    """Burgess et al., 2018: gamma |KL - C|."""
    return bcel(logits, x).sum(1).mean() + 30 * (kld(mu, logvar).sum(1).mean() - 25).abs()


@specimen("capacity", roles=MEAN, says="up to 16 nats per datum")
def world_models(y, x, mu, logvar):
    """Ha and Schmidhuber, 2018: max(KL, 0.5 * 32) per datum."""
    error = ((y - x) ** 2).flatten(1).sum(1).mean()
    return error + kld(mu, logvar).sum(1).clamp(min=0.5 * 32).mean()


@specimen("capacity", roles=LOGITS, says="0.25 nats per latent, on average")
def free_bits_per_latent(logits, x, mu, logvar):
    """Kingma et al., 2016: max(lambda, batch mean of the KL) per latent."""
    return bcel(logits, x).sum(1).mean() + kld(mu, logvar).mean(0).clamp(min=0.25).sum()


@specimen("capacity", roles=LOGITS, says="2 nats per latent and datum")
def free_bits_per_latent_and_datum(logits, x, mu, logvar):
    return bcel(logits, x).sum(1).mean() + kld(mu, logvar).clamp(min=2).sum(1).mean()


@specimen("capacity", roles=LOGITS, says="curve")
def squared_kl(logits, x, mu, logvar):
    return bcel(logits, x).sum(1).mean() + (kld(mu, logvar).sum(1) ** 2).mean()


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


@specimen("not_elbo", roles=MEAN)
def huber(recon, x, mu, logvar):
    return F.smooth_l1_loss(recon, x, reduction="sum") + kld(mu, logvar).sum()


@specimen("not_elbo", roles=MEAN)
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


@specimen("elbo", beta=1, head="logstd", says="`logvar` is charged as a logstd")
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


# ---- written after the audit, to see how it does on what it was not made with ----


def summed(mu, logvar):
    return kld(mu, logvar).sum()


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


@specimen("gradient_mismatch", roles="logits x mu logvar z", says="in z")
def detached_z(logits, x, mu, logvar, z):
    kl = Normal(mu, (logvar / 2).exp()).log_prob(z.detach()) - Normal(0.0, 1.0).log_prob(z.detach())
    return bcel(logits, x).sum() + kl.sum()


@specimen("gradient_mismatch", roles=LOGITS, says="in mu")
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


@specimen("wrong_kl", roles=LOGITS)
def a_little_more_of_mu(logits, x, mu, logvar):
    return bcel(logits, x).sum() + summed(mu, logvar) + 0.01 * (mu**2).sum()


@specimen("wrong_kl", roles=LOGITS)
def a_fourth_power(logits, x, mu, logvar):
    return bcel(logits, x).sum() + summed(mu, logvar) + 1e-3 * (mu**4).sum()


@specimen("wrong_kl", roles=LOGITS)
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


@specimen("not_elbo", roles=MEAN, says="logarithm")
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
