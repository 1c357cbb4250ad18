"""What a user changes between two steps of CompiledSVI is seen: the steps stay those of pyro.infer.SVI."""

import copy
from collections import deque

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import nn

from elbolab import CompiledSVI

pytestmark = [
    pytest.mark.usefixtures("one_thread", "one_store"),
    pytest.mark.filterwarnings("ignore:.*was not registered in the param store:UserWarning"),
]
FACTOR = {"scale": 1.0}


class Box:
    __slots__ = ("value",)

    def __init__(self):
        self.value = 1.0


class Programs:
    turn = staticmethod(lambda x: x)

    def __init__(self):
        torch.manual_seed(0)
        self.encoder, self.layers = nn.Linear(3, 2).double(), nn.Sequential(nn.Tanh())
        self.activation, self.box, self.options = torch.relu, Box(), {"scale": 1.0}
        self.queue, self.members, self.array = deque([1.0, 1.0], maxlen=2), {1}, np.ones(2)

    def model(self, x):
        spread = pyro.param("spread", torch.tensor(1.0).double(), constraint=dist.constraints.positive)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, spread).to_event(1), obs=x[:, :2])

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        scale = self.box.value * self.options["scale"] * FACTOR["scale"] * self.queue[-1] * len(self.members)
        if "shift" in pyro.get_param_store():
            with torch.no_grad():
                scale = scale + pyro.get_param_store()["shift"]
        x = self.turn(self.layers(self.activation(x))) * scale * torch.as_tensor(self.array).sum()
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.encoder(x), 1.0).to_event(1))


def slot(svi, programs):
    programs.box.value = 2.0


def queue(svi, programs):
    programs.queue.append(2.0)


def member(svi, programs):
    programs.members.add(2)


def array(svi, programs):
    programs.array[:] = 2.0


def another_dictionary(svi, programs):
    programs.options = {"scale": 2.0}


def function(svi, programs):
    programs.activation = torch.tanh


def static_method(svi, programs):
    type(programs).turn = staticmethod(lambda x: 2 * x)


def layer(svi, programs):
    programs.layers[0] = nn.ReLU()


def name_in_the_store(svi, programs):
    pyro.param("shift", torch.tensor(1.0))


def store_cleared(svi, programs):
    pyro.clear_param_store()


def store_item(svi, programs):
    pyro.get_param_store()["spread"] = torch.tensor(2.0).double()


def frozen(svi, programs):
    programs.encoder.requires_grad_(False)


def state_of_the_optimiser(svi, programs):
    for one in svi.optim.optim_objs.values():
        state = copy.deepcopy(one.state_dict())
        for of_parameter in state["state"].values():
            of_parameter["exp_avg"] *= 3
        one.load_state_dict(state)


def optimiser(svi, programs):
    svi.optim = pyro.optim.SGD({"lr": 1e-3})


def model(svi, programs):
    svi.model = poutine.scale(svi.model, scale=3.0)


CHANGES = [
    slot, queue, member, array, another_dictionary, function, static_method, layer, name_in_the_store, store_cleared,
    store_item, frozen, state_of_the_optimiser, optimiser, model,
]  # fmt: skip


def batch(i):
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(i), dtype=torch.float64) + 1


def run(cls, change, made=Programs, **options):
    pyro.clear_param_store()
    pyro.set_rng_seed(1)
    programs = made()
    svi = cls(programs.model, programs.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO(), **options)
    losses = []
    for i in range(8):
        if i == 3:
            change(svi, programs)
        if i == 6 and change is frozen:
            programs.encoder.requires_grad_(True)
        losses.append(float(svi.step(batch(i))))
    return [*losses, programs.encoder.weight.sum().item()], svi


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_seen(change, monkeypatch):
    monkeypatch.setattr(Programs, "turn", Programs.__dict__["turn"])
    expected, _ = run(SVI, change)
    monkeypatch.setattr(Programs, "turn", staticmethod(lambda x: x))
    found, svi = run(CompiledSVI, change, compile=False)
    assert found == pytest.approx(expected, rel=1e-9)
    assert svi.described.startswith("captured")


def nothing(svi, programs):
    pass


class Cycling(Programs):
    def __init__(self):
        super().__init__()
        self.factors = iter([1.0, 2.0] * 20)

    def guide(self, x):
        super().guide(x * next(self.factors))


class OwnGenerator(Programs):
    def __init__(self):
        super().__init__()
        self.draws = torch.Generator().manual_seed(0)

    def guide(self, x):
        super().guide(x + torch.randn(3, generator=self.draws))


class WritesIntoItsArgument(Programs):
    def guide(self, x):
        super().guide(x.add_(1.0))


class GradientsOfItsOwn(Programs):
    def __init__(self):
        super().__init__()
        self.weight = torch.ones(3, requires_grad=True)

    def guide(self, x):
        super().guide(x * self.weight)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Cycling, "a list_iterator, which a run of theirs to capture them would advance"),
        (OwnGenerator, "a Generator, which a run"),
        (WritesIntoItsArgument, "the programs write into an argument"),
        (GradientsOfItsOwn, "asks for a gradient and is not among what is trained"),
    ],
)
def test_what_a_second_run_would_change_is_left_to_pyro(made, reason):
    expected, _ = run(SVI, nothing, made)
    found, svi = run(CompiledSVI, nothing, made, compile=False)
    assert found == pytest.approx(expected, rel=1e-9)
    assert svi.described.startswith("eager: ")
    assert reason in svi.described


def test_objects_that_the_programs_themselves_replace_at_every_run_are_no_change():
    class Saving(Programs):
        def guide(self, x):
            self.saved = {"x": x}
            super().guide(x)

    expected, _ = run(SVI, nothing, Saving)
    found, svi = run(CompiledSVI, nothing, Saving, compile=False)
    assert found == pytest.approx(expected, rel=1e-9)
    assert svi.described.startswith("captured")


def test_an_argument_that_asks_for_a_gradient_gets_it():
    losses = []
    for cls, options in ((SVI, {}), (CompiledSVI, {"compile": False})):
        pyro.clear_param_store()
        pyro.set_rng_seed(1)
        programs, x = Programs(), batch(0).requires_grad_()
        svi = cls(programs.model, programs.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO(), **options)
        losses.append([float(svi.step(x)) for _ in range(4)] + [x.grad.sum().item()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)
