"""The z that a model gives its decoder, which stands in: is it drawn from the posterior that the KL charges for?"""

from dataclasses import replace

import torch
from torch import Tensor

from elbolab.auditing.identify.reparameterization import faults_of
from elbolab.auditing.probe.loss import Loss, NoTensor, Raised
from elbolab.auditing.probe.names import is_decoder
from elbolab.auditing.probe.points import Layout, Probe, draw
from elbolab.auditing.probe.serving import Serving

BATCH = 2000
SEEDS = range(10)


def check(loss: Loss, layout: Layout, head: str) -> str:
    """What is wrong with the z that is decoded, or nothing; nothing too where no network that decodes is called."""
    if "batch" in layout.wired or len(layout.latents) != 1 or not {"mu", "head"} <= loss.served:
        return ""
    mus, heads, zs = [], [], []
    for seed in SEEDS:
        point = _wide(layout)
        z = _decoded(loss, point, seed)
        if z is None or z.shape[-1] != layout.latent:
            return ""
        # Several draws of one posterior stand before the batch.
        shape = z.shape
        mus.append(point["mu"].expand(shape).reshape(-1, layout.latent))
        heads.append(point["head"].expand(shape).reshape(-1, layout.latent))
        zs.append(z.reshape(-1, layout.latent))
        leaves = [point["mu"], point["head"]]
        if seed == SEEDS[0]:
            first = z, leaves
            if _of_another(z, point["mu"]):
                return "the z of a datum is drawn from the posterior of another"
    mu, h, z = (torch.cat([t.detach() for t in side]).double() for side in (mus, heads, zs))
    return faults_of(z, mu, h, head, first[0], first[1])


def _of_another(z: Tensor, mu: Tensor) -> bool:
    """Does the first datum's z follow the mean of other data? None at all is another fault."""
    if not z.requires_grad:
        return False
    (found,) = torch.autograd.grad(z[..., 0, :].sum(), mu, retain_graph=True, allow_unused=True)
    return found is not None and bool(found[1:].any())


def _wide(layout: Layout) -> Probe:
    """Every datum with the same mu and head, so that what is drawn is seen as a distribution."""
    point = draw(replace(layout, batch=BATCH), 3)
    for slot in ("mu", "head"):
        point[slot] = point[slot][:1].expand_as(point[slot]).clone().requires_grad_()
    return point


def _decoded(loss: Loss, point: Probe, seed: int) -> Tensor | None:
    """What a network that decodes was given first; its first tensor, or its last axis before a condition is added."""
    serving = Serving(point, loss.values)
    try:
        loss.parts(point, seed, serving)
    except (Raised, NoTensor):
        return None
    for name, arguments in serving.calls:
        if is_decoder(name) and arguments and isinstance(arguments[0], Tensor):
            z = arguments[0]
            return z if z.dim() >= 2 and z.shape[-2] == BATCH else None
    return None
