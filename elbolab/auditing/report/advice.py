"""What to do about a verdict, in the words and the code of the loss that it is on."""

import re
from typing import TYPE_CHECKING

from elbolab.auditing.heads import HEADS
from elbolab.auditing.kinds import Kind

if TYPE_CHECKING:
    from elbolab.auditing.report.verdict import Verdict

# -log p(x|z) per datum, by the likelihood; `recon` and `x` are what the loss calls them.
RECONSTRUCTIONS = {
    "bernoulli": "F.binary_cross_entropy({o}, x, reduction='none').flatten(1).sum(1)",
    "bernoulli of logits": "F.binary_cross_entropy_with_logits({o}, x, reduction='none').flatten(1).sum(1)",
    "gaussian": "0.5 * ((recon - x)**2).flatten(1).sum(1)",
    "laplace": "(recon - x).abs().flatten(1).sum(1)",
    "continuous_bernoulli": "-torch.distributions.ContinuousBernoulli(logits={o}).log_prob(x).flatten(1).sum(1)",
    "categorical": "F.cross_entropy(logits.flatten(0, -2), x.flatten(), reduction='none').view(len(x), -1).sum(1)",
    "poisson": "F.poisson_nll_loss(recon, x, log_input=False, reduction='none').flatten(1).sum(1)",
    "poisson of logits": "F.poisson_nll_loss({o}, x, log_input=True, reduction='none').flatten(1).sum(1)",
    "one_hot": "-(x * logits.log_softmax(-1)).flatten(1).sum(1)",
}


def kl_line(verdict: "Verdict", head: str | None = None) -> str:
    """The KL of the head, summed over the latents, as PyTorch."""
    found = HEADS.get(head or verdict.stated_head or verdict.head or "logvar", HEADS["logvar"])
    h = verdict.head_name or found.name.replace(" ", "_")
    return f"kl = ({found.kl_code(h)}).flatten(1).sum(1)"


def reconstruction_line(verdict: "Verdict") -> str:
    """The likelihood that the loss has, or the one that it meant, summed over a datum."""
    logits = any("logit" in note for note in verdict.notes) or verdict.takes == "logits"
    name = verdict.likelihood or "bernoulli"
    name = f"{name} of logits" if logits and f"{name} of logits" in RECONSTRUCTIONS else name
    template = RECONSTRUCTIONS.get(name, "")
    return f"rec = {template.format(o='logits' if logits else 'recon')}" if template else ""


def advice(verdict: "Verdict") -> list[str]:
    """One line or more; lines of code stand by themselves."""
    said = " ".join(verdict.notes)
    for pattern, words in _FINDINGS.get(verdict.kind, ()):
        if re.search(pattern, said):
            return words(verdict)
    return _GENERAL.get(verdict.kind, lambda v: [v.kind.advice])(verdict)


def _weighted(verdict: "Verdict") -> list[str]:
    lines = [verdict.kind.advice]
    beta = verdict.reductions.get("beta") or verdict.reductions.get("sigma2", "")
    by_axis = re.search("and not over the other axes|say which data they are", " ".join(verdict.notes))
    if re.search("data|latent|batch", beta) or by_axis:
        lines += [line for line in (reconstruction_line(verdict), kl_line(verdict)) if line]
        lines.append("loss = (rec + kl).mean()")
    elif verdict.beta is not None:
        lines.append(f"divide the KL by {verdict.beta:.6g} for beta = 1")
    return lines


def _kl(verdict: "Verdict") -> list[str]:
    return [f"replace the KL by the one of a {verdict.stated_head or verdict.head or 'logvar'}", kl_line(verdict)]


def _named(verdict: "Verdict") -> list[str]:
    stated = re.search(r"if it is a (\w+), the KL is wrong|said to be a (\w+)", " ".join(verdict.notes))
    head = next((part for part in stated.groups() if part), None) if stated else None
    return [f"if the encoder returns a {head}, replace the KL by", kl_line(verdict, head)]


def _computed(verdict: "Verdict") -> list[str]:
    """The head whose deviation is charged as a variance, or the other way round: the other one of the pair."""
    pairs = (("softplus var", "softplus std"), ("logvar", "logstd"))
    others = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    other = others.get(verdict.head or "")
    line = [f"if z is not drawn so, replace the KL by the one of a {other}", kl_line(verdict, other)] if other else []
    return line or ["rename what is computed from the second head, or charge it as what it is called"]


def _sampler(verdict: "Verdict") -> list[str]:
    head = HEADS.get(verdict.stated_head or verdict.head or "logvar", HEADS["logvar"])
    h = verdict.head_name or head.name.replace(" ", "_")
    return [f"draw z from the {head.name} that the KL charges for", f"z = {head.sampler_code(h)}"]


def _sign(verdict: "Verdict") -> list[str]:
    if "maximised: minimise" in " ".join(verdict.notes):
        return ["return the negative of this", "loss = -elbo"]
    turned = "add the KL" if "KL is subtracted" in " ".join(verdict.notes) else "minimise -log p(x|z), not log p(x|z)"
    return [
        turned,
        *(line for line in (reconstruction_line(verdict), kl_line(verdict)) if line),
        "loss = (rec + kl).mean()",
    ]


_FINDINGS = {
    Kind.WRONG_KL: (("computed from", _computed), (r"rename it|is said to be", _named)),
    Kind.WRONG_LIKELIHOOD: (
        (
            "taken for a log-rate",
            lambda v: [
                "if the decoder returns a rate",
                "rec = F.poisson_nll_loss(recon, x, log_input=False, reduction='none').flatten(1).sum(1)",
            ],
        ),
        ("taken for a rate", lambda v: ["if the decoder returns a log-rate", reconstruction_line(v)]),
        (
            "applied twice",
            lambda v: [
                "take the sigmoid out, or take probabilities as probabilities",
                "rec = F.binary_cross_entropy(recon, x, reduction='none').flatten(1).sum(1)",
            ],
        ),
        (
            "sigmoid is missing",
            lambda v: ["take logits as logits", "rec = " + RECONSTRUCTIONS["bernoulli of logits"].format(o="logits")],
        ),
        ("swapped", lambda v: ["put the prediction first and the data second", reconstruction_line(v)]),
        ("log sigma.* is missing", lambda v: ["add its normaliser", "rec = rec + log_sigma * x[0].numel()"]),
        (
            "log sigma.* is there",
            lambda v: [
                "count log sigma once for every number of the data",
                "rec = (0.5 * ((recon - x) / sigma)**2 + sigma.log()).flatten(1).sum(1)"
                if v.likelihood == "gaussian"
                else "rec = ((recon - x).abs() / sigma + sigma.log()).flatten(1).sum(1)",
            ],
        ),
        ("leave the reconstruction out", lambda v: ["leave out the learned weight", reconstruction_line(v)]),
        ("ones weigh", lambda v: ["leave out pos_weight", reconstruction_line(v)]),
        ("are left out", lambda v: ["count every number of the data", reconstruction_line(v)]),
        ("smoothed", lambda v: ["leave out label_smoothing", reconstruction_line(v)]),
        ("only |exchanged", lambda v: ["use both halves of the cross-entropy", reconstruction_line(v)]),
    ),
    Kind.GRADIENT_MISMATCH: (
        (
            "KL balancing",
            lambda v: [
                "if the balancing is wanted, leave it: its value is the KL, its gradient is no ELBO's",
                "else take the KL once, of nothing that is detached",
            ],
        ),
    ),
    Kind.NOT_ELBO: (
        (
            "importance weights|IWAE",
            lambda v: ["if it is a multi-sample bound, it is tighter than the ELBO: compare it with IWAE's"],
        ),
        ("there is no KL", lambda v: ["add the KL", kl_line(v)]),
        (
            "such as its root",
            lambda v: ["take the squared error itself, not its root", "rec = " + RECONSTRUCTIONS["gaussian"]],
        ),
        ("nothing trains the decoder", lambda v: ["add the reconstruction", reconstruction_line(v)]),
    ),
}
_GENERAL = {
    Kind.WEIGHTED: _weighted,
    Kind.WRONG_KL: _kl,
    Kind.WRONG_SAMPLER: _sampler,
    Kind.WRONG_SIGN: _sign,
    Kind.WRONG_LIKELIHOOD: lambda v: [v.kind.advice, reconstruction_line(v)],
    Kind.CAPACITY: lambda v: [v.kind.advice, kl_line(v)],
    Kind.OTHER_PRIOR: lambda v: [v.kind.advice, kl_line(v)],
}
