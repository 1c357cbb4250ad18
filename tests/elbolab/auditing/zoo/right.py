"""Losses that are an ELBO, in every unit and form."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import ContinuousBernoulli, Laplace, Normal, kl_divergence

from tests.elbolab.auditing.zoo.specimen import LOGITS, MEAN, PROBS, bce, bcel, half_exp, kld, specimen


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
