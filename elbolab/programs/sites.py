"""What a sample statement of a program is: drawn, observed, a point mass, a factor or a mere record."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyro.distributions as dist
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Distribution, Independent

from elbolab.programs.marks import Cut

Role = Literal["latent", "point mass", "observed", "factor", "deterministic"]
PLATE = "num_particles_vectorized"  # Pyro's own name for the plate of particles
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plate:
    """A plate that a site is in; `subsampled`: it stands for more than it holds. `dim` is None for a loop."""

    name: str
    dim: int | None
    subsampled: bool = False


@dataclass(frozen=True)
class Site:
    """A sample statement, as it was found when its program was read.

    `depends` names the guide's latents that its density depends on through anything but its own value; `seen` those
    that an observed value was computed from. `has_rsample`: its draws carry the gradient of what is expected of them;
    `support_moves`: a parameter says where there are none. `jumps` says of a latent where it is compared, rounded,
    indexed by or cut off on the way to a density of either program, where then no gradient sees it; `moves` where a
    parameter says where it jumps, and the latent is continuous. `noise` says what its density depends on that no sample
    statement draws, and `network` what a layer draws, such as dropout; `cut` where a parameter is taken out of a part
    of its gradient.
    """

    name: str
    role: Role
    family: type[Distribution]
    event_dim: int
    has_rsample: bool
    discrete: bool = False
    auxiliary: bool = False
    enumerated: bool = False
    masked: bool = False
    plates: tuple[Plate, ...] = ()
    depends: frozenset[str] = _NONE
    seen: frozenset[str] = _NONE
    support_moves: bool = False
    jumps: str = ""
    moves: str = ""
    noise: str = ""
    network: str = ""
    cut: Cut | None = None

    @property
    def look(self) -> tuple:
        """What has to be the same for what was read to be true still."""
        if self.role == "deterministic":
            return self.name, self.role  # a record may take all its axes for one event
        plates = tuple((plate.name, plate.dim, plate.subsampled) for plate in self.plates)
        return self.name, self.role, self.family, self.event_dim, self.enumerated, self.masked, plates

    @classmethod
    def of(cls, site: Mapping[str, Any], **found: Any) -> "Site":
        """A site of a trace."""
        q, infer = site["fn"], site["infer"] or {}
        frames = [frame for frame in site["cond_indep_stack"] if frame.name != PLATE]
        return cls(
            name=site["name"],
            role=role(site),
            family=family(q),
            event_dim=len(q.event_shape),
            has_rsample=has_path(q),
            discrete=is_discrete(q),
            auxiliary=bool(infer.get("is_auxiliary")),
            enumerated=bool(infer.get("enumerate")),
            masked=site["mask"] is not None or any(isinstance(layer, dist.MaskedDistribution) for layer in layers(q)),
            plates=tuple(Plate(f.name, f.dim, bool(f.full_size) and f.full_size != f.size) for f in frames),
            **found,
        )


def role(site: Mapping[str, Any]) -> Role:
    """What a site of a trace, or a message on its way to one, is."""
    if (site["infer"] or {}).get("_deterministic"):
        return "deterministic"
    innermost = base(site["fn"])
    if isinstance(innermost, dist.Unit):
        return "factor"
    if site["is_observed"]:
        return "observed"
    return "point mass" if isinstance(innermost, dist.Delta) else "latent"


STRAIGHT_THROUGH = (dist.RelaxedBernoulliStraightThrough, dist.RelaxedOneHotCategoricalStraightThrough)


def has_path(q: Distribution) -> bool:
    """Whether draws carry a gradient, and it is that of what is expected of them: a discrete one's cannot be.

    What a rejection sampler draws has another part of it, a score.
    """
    innermost = base(q)
    return bool(q.has_rsample) and not (is_discrete(q) or isinstance(innermost, (*STRAIGHT_THROUGH, dist.Rejector)))


def is_discrete(q: Distribution) -> bool:
    """Whether its values can be counted."""
    try:
        support: Any = q.support
    except NotImplementedError:
        return False
    return bool(getattr(support, "is_discrete", False))


def layers(q: Distribution) -> Iterator[Distribution]:
    """A distribution, and what it wraps to declare axes part of one event or to mask them."""
    yield q
    while isinstance(q, Independent | dist.MaskedDistribution):
        q = q.base_dist
        yield q


def family(q: Distribution) -> type[Distribution]:
    """The class of what is innermost; of a variant that is continued between the values, what it stands for."""
    return getattr(base(q), "stands_for", type(base(q)))


def base(q: Distribution) -> Distribution:
    """A distribution without the axes that were declared part of one event, and without masks."""
    return list(layers(q))[-1]


def unmasked(q: Distribution) -> Distribution:
    """The distribution that is drawn from: a mask leaves terms out of its density alone."""
    if isinstance(q, dist.MaskedDistribution):
        return unmasked(q.base_dist)
    if isinstance(q, Independent) and any(isinstance(layer, dist.MaskedDistribution) for layer in layers(q)):
        return dist.Independent(unmasked(q.base_dist), q.reinterpreted_batch_ndims)
    return q


def is_subsample(msg: Any) -> bool:  # noqa: ANN401
    """Whether a message is of a plate's subsample, which is no site of the program."""
    return bool(poutine.util.site_is_subsample(msg))


def drawing(guide: Callable) -> Callable:
    """A guide's own statements: one that runs the model to draw from it (an AutoMessenger) observes nothing itself."""
    if not isinstance(poutine.unwrap(guide), Messenger):
        return guide
    return poutine.block(guide, hide_fn=lambda msg: bool(msg.get("is_observed")) and not is_subsample(msg))


def sites(trace: poutine.Trace) -> Iterator[Mapping[str, Any]]:
    """The sample sites of a trace, subsamples left out."""
    for site in trace.nodes.values():
        if site["type"] == "sample" and not is_subsample(site):
            yield site


def of_role(trace: poutine.Trace, *roles: Role) -> Iterator[Mapping[str, Any]]:
    return (site for site in sites(trace) if role(site) in roles)


def latents(trace: poutine.Trace) -> Iterator[Mapping[str, Any]]:
    """Those that are drawn: neither observed nor point masses."""
    return of_role(trace, "latent")


def replayable(trace: poutine.Trace, values: Mapping[str, Any] | None = None) -> poutine.Trace:
    """What a run can be replayed against: subsamples, and what was drawn, or the given values of latents alone."""
    held = poutine.Trace()
    for name, node in trace.nodes.items():
        if node["type"] != "sample" or name == PLATE:
            continue
        if is_subsample(node) or (values is None and not node["is_observed"]):
            held.nodes[name] = node
        elif values is not None and name in values:
            held.nodes[name] = node | {"value": values[name]}
    return held


def still(trace: poutine.Trace) -> poutine.Trace:
    """What a run can be replayed against, with values through which no gradient flows."""
    held = replayable(trace)
    for name, node in list(held.nodes.items()):
        if isinstance(node["value"], Tensor):
            held.nodes[name] = node | {"value": node["value"].detach()}
    return held


def look(trace: poutine.Trace) -> frozenset[tuple]:
    """What the sites of a trace look like, a few microseconds for each."""
    return frozenset(Site.of(site).look for site in sites(trace))


def named(found: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(sorted(found))
