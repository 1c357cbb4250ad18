"""Pyro's own examples, as they are in a checkout of pyro-ppl/pyro, on random data of the shapes that they have.

A case makes model, guide, optimiser, loss, and the arguments of step i. Programs, networks, optimisers and losses are
Pyro's; those of examples that are a script and no module are written again here.
"""

import importlib
import json
import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import pyro.contrib.gp as gp
import pyro.distributions as dist
import torch
import torch.nn as nn
import torch.nn.functional as F
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDelta, AutoNormal
from pyro.nn import PyroModule, PyroSample

optim: Any = pyro.optim  # whose classes are made when it is imported
Case = tuple[Callable, Callable, Any, Any, Callable[[int], tuple]]


def bits(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape) < 0.3).to(torch.get_default_dtype())


def labels(size: int, classes: int) -> torch.Tensor:
    return F.one_hot(torch.randint(classes, (size,)), classes).to(torch.get_default_dtype())


def vae(_: Path) -> Case:
    made, data = importlib.import_module("vae").VAE(), [bits(256, 784) for _ in range(8)]
    return made.model, made.guide, optim.Adam({"lr": 1e-3}), Trace_ELBO(), lambda i: (data[i % 8],)


def ss_vae_m2(_: Path) -> Case:
    made = importlib.import_module("ss_vae_M2").SSVAE(hidden_layers=[500], config_enum="parallel")
    guide, elbo = config_enumerate(made.guide, "parallel", expand=True), TraceEnum_ELBO(max_plate_nesting=1)
    data = [(bits(200, 784), labels(200, 10) if i == 0 else None) for i in range(8)]
    adam = optim.Adam({"lr": 0.00042, "betas": (0.9, 0.999)})
    return made.model, guide, adam, elbo, lambda i: data[i % 8]


def cvae(_: Path) -> Case:
    baseline = nn.Sequential(nn.Flatten(), nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 784), nn.Sigmoid())
    made, data = importlib.import_module("cvae").CVAE(200, 500, 500, baseline), []
    for _i in range(8):
        y = bits(128, 28, 28)
        x = y.clone()
        x[:, :14] = -1
        x[:, :, 14:] = -1
        data.append((x, y))
    return made.model, made.guide, optim.Adam({"lr": 1e-3}), Trace_ELBO(), lambda i: data[i % 8]


def dmm(_: Path) -> Case:
    made, data = importlib.import_module("dmm").DMM(), []
    for _i in range(8):
        lengths = torch.randint(20, 41, (20,)).sort(descending=True).values
        x, mask = bits(20, int(lengths[0]), 88), torch.zeros(20, int(lengths[0]))
        for row, length in zip(mask, lengths, strict=True):
            row[:length] = 1
        packed = nn.utils.rnn.pack_padded_sequence(x.flip(1), lengths, batch_first=True)
        data.append((x, packed, mask, lengths))
    adam = optim.ClippedAdam(
        {"lr": 3e-4, "betas": (0.96, 0.999), "clip_norm": 10.0, "lrd": 0.99996, "weight_decay": 2.0}
    )
    return made.model, made.guide, adam, Trace_ELBO(), lambda i: (*data[i % 8], min(1.0, 0.2 + i / 1000))


def lda(_: Path) -> Case:
    part = importlib.import_module("lda")
    args = Namespace(num_topics=8, num_words=1024, num_docs=1000, num_words_per_doc=64, layer_sizes="100-100")
    predictor, data = part.make_predictor(args), torch.randint(1024, (64, 1000))

    def guide(data: Any, args: Any, batch_size: Any = None) -> None:
        part.parametrized_guide(predictor, data, args, batch_size)

    adam = optim.ClippedAdam({"lr": 0.001})
    return part.model, guide, adam, TraceEnum_ELBO(max_plate_nesting=2), lambda i: (data, args, 32)


def sparse_gamma_def(_: Path) -> Case:
    made, data = importlib.import_module("sparse_gamma_def").SparseGammaDEF(), torch.poisson(5 * torch.rand(320, 4096))
    adagrad = optim.AdagradRMSProp({"eta": 4.5, "t": 0.1})
    return made.model, made.guide, adagrad, TraceMeanField_ELBO(), lambda i: (data,)


def air(_: Path) -> Case:
    made = importlib.import_module("air").AIR(
        num_steps=3, x_size=50, window_size=28, z_what_size=50, rnn_hidden_size=256, encoder_net=[200],
        decoder_net=[200], predict_net=[200], bl_predict_net=[200], decoder_output_use_sigmoid=True,
        decoder_output_bias=-2,
    )  # fmt: skip
    data = torch.rand(1000, 50, 50)
    adam = optim.Adam(lambda name: {"lr": 0.1 if "bl_" in name else 1e-4})

    def prior(time_step: int) -> float:
        return 0.01**time_step

    def model(data: torch.Tensor) -> Any:
        return made.model(data, batch_size=64, z_pres_prior_p=prior)

    def guide(data: torch.Tensor) -> Any:
        return made.guide(data, batch_size=64, z_pres_prior_p=prior)

    return model, guide, adam, TraceGraph_ELBO(), lambda i: (data,)


def scanvi(_: Path) -> Case:
    made = importlib.import_module("scanvi").SCANVI(500, 4, 7.0, 0.5, scale_factor=1 / (100 * 500))
    guide, elbo = (
        config_enumerate(made.guide, "parallel", expand=True),
        TraceEnum_ELBO(strict_enumeration_warning=False),
    )
    data = []
    for i in range(8):
        y = labels(100, 4) if i % 2 else None
        data.append((torch.poisson(3 * torch.rand(100, 500)), y))
    settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.005}, "milestones": [20], "gamma": 0.2}
    return made.model, guide, optim.MultiStepLR(settings), elbo, lambda i: data[i % 8]


def cevae(_: Path) -> Case:
    part = importlib.import_module("pyro.contrib.cevae")
    made = part.CEVAE(feature_dim=5, latent_dim=20, hidden_dim=200, num_layers=3, num_samples=10)
    data = [(torch.randn(100, 5), bits(100), bits(100)) for _ in range(8)]
    made.whiten = part.PreWhitener(data[0][0])
    adam = optim.ClippedAdam({"lr": 1e-3, "weight_decay": 1e-4, "lrd": 0.1 ** (1 / 500)})
    return made.model, made.guide, adam, part.TraceCausalEffect_ELBO(), lambda i: (*data[i % 8], 1000)


def bayesian_regression(_: Path) -> Case:
    linear: Any = PyroModule[nn.Linear]

    class Regression(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = linear(3, 1)
            self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2))
            self.linear.bias = PyroSample(dist.Normal(0.0, 10.0).expand([1]).to_event(1))

        def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            sigma = pyro.sample("sigma", dist.Uniform(0.0, 10.0))
            mean = self.linear(x).squeeze(-1)
            with pyro.plate("data", x.shape[0]):
                pyro.sample("obs", dist.Normal(mean, sigma), obs=y)
            return mean

    model, x = Regression(), torch.randn(170, 3)
    return model, AutoNormal(model), optim.Adam({"lr": 0.03}), Trace_ELBO(), lambda i: (x, x.sum(-1))


def hmm(_: Path) -> Case:
    part = importlib.import_module("hmm")
    args, sequences = Namespace(hidden_dim=16, jit=False), bits(20, 16, 51)
    lengths = torch.randint(8, 17, (20,))
    model = part.model_1
    guide = AutoDelta(poutine.block(model, expose_fn=lambda msg: str(msg["name"]).startswith("probs_")))
    elbo = TraceEnum_ELBO(max_plate_nesting=2)
    return model, guide, optim.Adam({"lr": 0.05}), elbo, lambda i: (sequences, lengths, args)


def gmm(_: Path) -> Case:
    data = torch.cat([torch.randn(100), torch.randn(100) + 6])

    @config_enumerate
    def model(data: torch.Tensor) -> None:
        weights = pyro.sample("weights", dist.Dirichlet(0.5 * torch.ones(2)))
        scale = pyro.sample("scale", dist.LogNormal(0.0, 2.0))
        with pyro.plate("components", 2):
            locs = pyro.sample("locs", dist.Normal(0.0, 10.0))
        with pyro.plate("data", len(data)):
            assignment = pyro.sample("assignment", dist.Categorical(weights))
            pyro.sample("obs", dist.Normal(locs[assignment], scale), obs=data)

    guide = AutoDelta(poutine.block(model, expose=["weights", "locs", "scale"]))
    adam = optim.Adam({"lr": 0.1, "betas": (0.8, 0.99)})
    return model, guide, adam, TraceEnum_ELBO(max_plate_nesting=1), lambda i: (data,)


def svi_torch(_: Path) -> Case:
    model, x = importlib.import_module("svi_torch").Model(10000), torch.randn(8, 100)
    return model, AutoNormal(model), optim.Adam({"lr": 0.01}), Trace_ELBO(), lambda i: (x[i % 8], x[i % 8] * 2 + 1)


def prodlda(pyro_folder: Path) -> Case:
    cells = json.loads((pyro_folder / "tutorial/source/prodlda.ipynb").read_text())["cells"]
    code = next(t for t in ("".join(c["source"]) for c in cells) if "class ProdLDA" in t)
    names: dict[str, Any] = {"nn": nn, "F": F, "pyro": pyro, "dist": dist, "torch": torch, "math": math}
    exec(code, names)  # the tutorial's own classes
    made, data = names["ProdLDA"](2000, 20, 100, 0.2), [torch.poisson(0.05 * torch.rand(32, 2000)) for _ in range(8)]
    return made.model, made.guide, optim.Adam({"lr": 1e-3}), TraceMeanField_ELBO(), lambda i: (data[i % 8],)


def svgp(_: Path) -> Case:
    x = torch.rand(1000, 1) * 10
    y = torch.sin(x[:, 0]) + 0.1 * torch.randn(1000)
    kernel, noise = gp.kernels.RBF(input_dim=1), gp.likelihoods.Gaussian()
    inducing = torch.linspace(0, 10, 20)[:, None]
    made = gp.models.VariationalSparseGP(x[:64], y[:64], kernel, inducing, noise, num_data=1000, jitter=1e-5)

    def model(x: torch.Tensor, y: torch.Tensor) -> None:
        made.X, made.y = x, y
        made.model()

    def guide(x: torch.Tensor, y: torch.Tensor) -> None:
        made.X, made.y = x, y
        made.guide()

    data = [(x[i : i + 64], y[i : i + 64]) for i in range(0, 512, 64)]
    return model, guide, optim.Adam({"lr": 0.01}), TraceMeanField_ELBO(), lambda i: data[i % 8]


CASES = {
    case.__name__: case
    for case in (
        vae, ss_vae_m2, cvae, dmm, lda, sparse_gamma_def, air, scanvi, cevae, bayesian_regression, hmm, gmm, svi_torch,
        prodlda, svgp,
    )
}  # fmt: skip
