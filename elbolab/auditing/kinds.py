"""What an audit can find: each kind of verdict with its severity, what it means, and what is to be done in general."""

from enum import StrEnum


class Kind(StrEnum):
    """A verdict's kind. Where several readings or faults compete, `severity` decides; below `_WRONG` it is an ELBO."""

    severity: int
    meaning: str
    advice: str

    def __new__(cls, value: str, severity: int, meaning: str, advice: str) -> "Kind":
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.severity, kind.meaning, kind.advice = severity, meaning, advice
        return kind

    ELBO = "elbo", 0, "exactly the negative ELBO, summed", "nothing to change"
    SCALED = (
        "scaled",
        1,
        "a constant factor of the negative ELBO",
        "nothing to change: the factor moves only the learning rate",
    )
    SHIFTED = (
        "shifted",
        2,
        "the negative ELBO and a constant",
        "nothing to change: add the constant back before you report it",
    )
    SAMPLED_KL = (
        "sampled_kl",
        3,
        "the negative ELBO in expectation, its KL sampled",
        "nothing to change; the closed-form KL has less variance",
    )
    GAUSSIAN = (
        "gaussian",
        4,
        "squared error: the negative ELBO of a Gaussian with the variance sigma2",
        "choose sigma2 on purpose: weigh the squared error by 1 / (2 sigma2), or learn sigma2",
    )
    WEIGHTED = (
        "weighted",
        10,
        "an ELBO whose KL is weighted: a beta-VAE, wanted or not",
        "if that is not wanted, reduce both terms alike: sum over data and latents, mean over the batch",
    )
    WRONG_SAMPLER = (
        "wrong_sampler",
        11,
        "z is not drawn from the posterior that the KL charges for",
        "draw z = mu + sqrt(var) * torch.randn_like(mu) with the variance in the KL",
    )
    CAPACITY = (
        "capacity",
        12,
        "no ELBO: it is not affine in the KL (capacity, free bits)",
        "report the plain ELBO beside it; it is no bound on log p(x)",
    )
    OTHER_PRIOR = (
        "other_prior",
        13,
        "a KL to a prior that is not N(0, 1)",
        "if that is not wanted, use the KL to N(0, 1); else sample z from this prior when you generate",
    )
    WRONG_SIGN = "wrong_sign", 14, "a term has the wrong sign", "minimise reconstruction + KL, both positive"
    WRONG_KL = "wrong_kl", 15, "the second term is no KL of this encoder", "use the KL of the head that the encoder has"
    WRONG_LIKELIHOOD = (
        "wrong_likelihood",
        16,
        "the reconstruction is no log-likelihood of this decoder",
        "use binary_cross_entropy_with_logits(logits, x), in this order, on the pre-sigmoid output",
    )
    UNKNOWN_LIKELIHOOD = (
        "unknown_likelihood",
        17,
        "unknown likelihood, KL right: no ELBO that is known here",
        "show that the reconstruction is -log of a density of x that integrates to 1 for every output",
    )
    UNKNOWN_KL = (
        "unknown_kl",
        18,
        "unknown KL, likelihood right: no ELBO that is known here",
        "show that the second term is the KL of the posterior that z is drawn from to the prior",
    )
    GRADIENT_MISMATCH = (
        "gradient_mismatch",
        19,
        "autograd does not follow the loss (detach, no_grad, .data, .item())",
        "remove what stops the gradient: detach(), no_grad, .data, .item(), torch.tensor(...)",
    )
    NOT_ELBO = "not_elbo", 20, "no ELBO", "compare it with -log p(x|z) + KL(q(z|x) || p(z)), term by term"
    RAISES = "raises", 21, "it cannot be probed", "see the error; name the arguments with roles"

    @property
    def right(self) -> bool:
        """Is it an ELBO, up to a factor, a constant or an expectation?"""
        return self.severity < _WRONG

    @staticmethod
    def gravest(kinds: "set[Kind]") -> "Kind | None":
        return max(kinds, key=lambda kind: kind.severity, default=None)


_WRONG = 10
