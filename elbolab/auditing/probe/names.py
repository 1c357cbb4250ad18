"""What people call things: which names are those of a mean, of data, of a weight, of a counter."""

import re

from elbolab.auditing.heads import ROLES as HEAD_ROLES
from elbolab.auditing.heads import plain

SLOT_OF = {"logits": "output", "probs": "output", "mean": "output", "output": "output", "x": "x", "mu": "mu"}
SLOT_OF |= dict.fromkeys((*HEAD_ROLES, "head"), "head")
SLOT_OF |= {"z": "z", "eps": "eps", "spread": "spread", "gate": "gate", "q": "q"}
SLOT_OF |= {"prior_mu": "prior_mu", "prior": "prior_head", "spread": "spread"}
ANY = ("output", "x", "mu", "head")  # a name that says nothing is one of these, or it has to be passed by keyword

_HEAD = r"log_?_?var|log_?_?sig|log_?_?s|ln_?var|var|sigma|std|stddev|scale|_sd|_lv"
_DATA = r"x|px|recon|rec|dec|decoder|out|output|data|obs|likelihood|lik|pixel|image|img"
# The first pattern that fits a name says which roles it may have.
_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"eps(ilon)?|noise", ("eps",)),
    (rf"({_DATA})_(mu|mean|loc|alpha)s?", ("output",)),
    (
        rf"({_DATA})_?({_HEAD}).*|({_DATA})_beta|({_HEAD})_?({_DATA})|px_r|theta|dispersion|inverse_dispersion|r",
        ("spread",),
    ),
    (r".*drop(out)?(_logits?)?|pi_logits?|zi_logits?|gate(_logits?)?|px_dropout", ("gate",)),
    (r"(prior|p|pz|prior_z)_?(mu|mean|loc)s?|(mu|mean|loc)_?(p|prior|pz)", ("prior_mu",)),
    (rf"(prior|p|pz|prior_z)_?({_HEAD})s?|({_HEAD})_?(p|prior|pz)", ("prior",)),
    (
        r"q_?y|qy|q_?c(at)?|q_?logits?|q|logits?_?q(y|z)?|(cat|gumbel|y|class|codes?|latent|posterior)_?logits?|alphas?|q_?probs?|alpha",
        ("q",),
    ),
    (r".*logits?.*", ("logits",)),
    (r".*(prob(s|ab.*)?)", ("probs",)),
    (r".*(true|target|label|orig|ground|real|gt|input).*|x|xs|x_?in|data|img|image|images|batch|features|adj", ("x",)),
    (rf".*({_HEAD}).*|logv|log_v|s|lv|sd|ls", ("head",)),
    (r".*(recon|rec_|_rec|hat|decod|pred|output|generat|fake|tilde|out).*|y|x_?r|xr|rec|dec|xh|x_?prime", ("output",)),
    (r"(px_?)?(log_?)?rates?|log_?lambdas?", ("output",)),
    (r"q[a-z]_(m|mu|mean|loc)", ("mu",)),
    (r"q[a-z]_v", ("head",)),
    (r"means?|locs?", ("mu", "output")),
    (r".*(mu|mean|loc).*|m", ("mu",)),
    (r"z|zs|z_.*|latents?|code|codes|samples?", ("z",)),
)
_Y = re.compile(r"y|targets?|outputs?|inputs?")  # some call the data y, some the reconstruction input
# Counters are given the end of a schedule: large, and no multiple of a cycle's length.
END = 999_999
_COUNTERS = re.compile(
    r"(?!.*(max|total|n_steps|warm|stop|num_steps)).*(step|epoch|iter|iteration|global_step|num_iter|n_iter|batch_idx|batch_i|itr|progress)|t|it|i"
)
_WEIGHTS = re.compile(
    rf"(?!({_DATA})_(alpha|beta)$).*(beta|weight|coef|coeff|lambda|lambd|alpha|gamma|anneal|warmup_factor|kl_?w|kld_?w|factor|m_?n|temperature"
    r"|tau|reg|balance).*|w|lam|lmbda|kl_?scale|scale_factor|b"
)
_COUNTS = re.compile(r"(n|num|len)_?(data|samples?|train|examples|datapoints)|(data_?set|train|data)_?(size|len)|ndata")
MANY = 1000  # data in a set whose size nobody says
_MASKS = re.compile(r".*mask.*|sample_?weights?|(is_)?pad(ding|ded)?(_?weights?)?")
_SWITCHES = re.compile(r"reduction|reduce|mode|training|train|is_train|split|stage|prefix|phase|optimizer_idx|device")


def options(name: str) -> tuple[str, ...]:
    """The roles that a parameter of this name may have, the likeliest first; `ANY` where it says nothing."""
    bare = plain(name)
    if _Y.fullmatch(bare):
        return ("x", "output") if bare.startswith(("target", "input")) else ("output", "x")
    return next((roles for pattern, roles in _NAMES if re.fullmatch(pattern, bare)), ANY)


def slot_named(name: str) -> str | None:
    """The slot that a name means by itself, None where it says nothing."""
    bare = plain(name)
    if not bare or number_for(name) is not None:
        return None
    found = options(name)
    return None if found is ANY else SLOT_OF[found[0]]


def number_for(name: str) -> float | int | None:
    """The number that is taken for a name where nobody says it: 1 for a weight, a schedule's end for a counter."""
    bare = plain(name)
    if is_schedule(name):
        return 1000
    if _COUNTERS.fullmatch(bare):
        return END
    if _COUNTS.fullmatch(bare):
        return MANY
    return 1.0 if _WEIGHTS.fullmatch(bare) and not is_mask(name) else None


_SCHEDULES = re.compile(
    r"(total|max|n|num|warm_?up|anneal\w*)_?(step|epoch|iter|iteration)s?|(step|epoch)s|capacity_\w*"
)


def is_schedule(name: str) -> bool:
    """A schedule's length, which is taken for short beside a counter at its end."""
    return bool(_SCHEDULES.fullmatch(plain(name)))


def is_counter(name: str) -> bool:
    """A counter that starts at 0: num_iter, step, epoch."""
    return number_for(name) in (END, 1000) and not _COUNTS.fullmatch(plain(name))


def is_mask(name: str) -> bool:
    return bool(_MASKS.fullmatch(plain(name)))


_LATENT_SIZE = re.compile(r"(n_)?(latent|z|code|embedding)s?_?(dim|size|len|features|channels)s?|n_?latents?|nz|z_?dim")


def is_latent_size(name: str) -> bool:
    return bool(_LATENT_SIZE.fullmatch(plain(name)))


def is_decoder(name: str) -> bool:
    return bool(re.match(r"dec|generat|p_net|px", plain(name)))


def is_switch(name: str) -> bool:
    """Names of what is no number at all, and may be left to its usual value."""
    return bool(_SWITCHES.fullmatch(plain(name)))
