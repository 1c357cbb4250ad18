"""Which form of KL is the second half of a loss, and is its head what the names say?"""

from dataclasses import replace

import torch

from elbolab.auditing.heads import claimed, plain
from elbolab.auditing.identify import closed_form_kl, other_kls, sampled_kl
from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.local_names import contradiction
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.layouts import asked
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, draw
from elbolab.auditing.probe.roles import Roles


def identify(loss: Loss, layout: Layout, roles: Roles) -> Divergence:
    """The KL, in the form that it has here."""
    if "q" in loss.slots and "mu" not in loss.slots:
        return other_kls.of_categories(loss, layout)
    if {"mu", "head", "prior_mu", "prior_head"} <= set(loss.slots):
        return _named(loss, other_kls.to_given_prior(loss, layout), roles)
    if not {"mu", "head"} <= set(loss.slots):
        return Divergence(fault=Kind.NOT_ELBO, notes=("there is no KL: it takes a mean and a second head",))
    point = draw(layout, 1)
    found, again = loss.gradients(point), loss.gradients(point, seed=1)
    if "output" in found and not torch.allclose(found["output"], again["output"], rtol=1e-9, atol=0):
        return Divergence(fault=Kind.NOT_ELBO, notes=(_random(loss, layout),))
    if "z" in found and any(loss.gradients(p)["z"].any() for p in (point, sampled_kl.far(layout))):
        second = sampled_kl.at_given_z(loss, layout)
    elif not torch.equal(found["mu"], again["mu"]) or ("eps" in found and found["eps"].any()):
        second = sampled_kl.at_drawn_z(loss, layout)
        if second.fault and _several(loss, layout):
            note = (
                "several draws of z enter through importance weights (IWAE, a multi-sample bound): it is no plain ELBO"
            )
            return Divergence(form="drawn", fault=Kind.NOT_ELBO, notes=(note,))
    else:
        second = closed_form_kl.identify(loss, layout)
    return _named(loss, second, roles)


def _several(loss: Loss, layout: Layout) -> bool:
    """Is a network given z with an axis of draws before the batch?"""
    calls = asked(loss, layout).calls
    tensors = [argument for _, arguments in calls for argument in arguments if isinstance(argument, torch.Tensor)]
    return any(z.dim() == len(layout.latents) + 2 and z.shape[-1] == layout.latents[-1] for z in tensors)


def _random(loss: Loss, layout: Layout) -> str:
    """Noise in the data or the output keeps no gradient's direction; importance weights do, datum by datum."""
    p = draw(layout, 1)
    a, b = (loss.gradients(p, seed=seed)["output"].flatten(1) for seed in (0, 1))
    aligned = torch.nn.functional.cosine_similarity(a, b, dim=1).abs() > 1 - 1e-9
    if aligned.all():
        return "each datum's reconstruction has a random weight, as importance weights are (IWAE): no plain ELBO"
    return "the reconstruction is random: noise is added to it"


def _named(loss: Loss, second: Divergence, roles: Roles) -> Divergence:
    """Is the head what it is said to be, by a role or by the parameter's name? Else both readings are said."""
    if not second.head or second.fault:
        return second
    if roles.head not in ("head", second.head):
        note = f"the second head is said to be a {roles.head}, and the KL charges it as a {second.head}"
        return replace(second, fault=Kind.WRONG_KL, notes=(*second.notes, note))
    name, states = roles.head_name, claimed(roles.head_name)
    if roles.head != "head" or not name or states == second.head:
        return second
    if states is None:
        said = contradiction(loss.function, name, second.head)
        return replace(second, fault=Kind.WRONG_KL, notes=(*second.notes, said)) if said else second
    note = f"`{name}` is charged as a {second.head}: the encoder has to mean that by it"
    if plain(name).endswith("sigma") and "log" not in plain(name) and second.head == "logvar":
        # Many write sigma for a log-variance, and exponentiate it.
        return replace(second, notes=(*second.notes, note))
    both = f"if `{name}` is a {second.head}, rename it and the KL is right; if it is a {states}, the KL is wrong"
    return replace(second, fault=Kind.WRONG_KL, notes=(*second.notes, note, both))
