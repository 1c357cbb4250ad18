"""What a run is about: options -> data, model, guide, objective. Everything in it is chosen by a class's name."""

import inspect
import math
import os
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Literal, Self

import pyro
import torch
from jsonargparse import ArgumentError, lazy_instance
from pyro.distributions import constraints
from pyro.infer import ELBO, TraceMeanField_ELBO
from torch import Tensor

from data import Data, Digits
from data.on_disk import blocks
from data.validation import with_validation
from elbolab.estimators import Estimator
from elbolab.networks import InBFloat16
from elbolab.programs.kl import kl_routes
from guide import Guide
from guide.posteriors import DiagonalNormal, Posterior
from model import MLP, Model, Network
from model.likelihoods import Bernoulli, Likelihood
from model.priors import Prior, StandardNormal
from training import checkpoint, legality, record, room
from training import trust as trusted
from training.checkpoint import Kept
from training.experiment_options import ExperimentParser
from training.run_folder import RunFolder
from training.state import check_parameters

# Parameters belong to the modules, not to Pyro's global store: two experiments can live side by side.
pyro.settings.set(module_local_params=True)

Precision = Literal["float32", "tf32", "bf16", "float64"]

# Enough rows to show a wrong shape, cheap enough to run twice.
_PROBE = 8


class Experiment:
    """Builds data, model, guide and objective on one device, and refuses what could not be trained as meant."""

    def __init__(
        self,
        *,
        data: Data = lazy_instance(Digits),
        prior: Callable[[int], Prior] = StandardNormal,
        likelihood: Callable[[int, Sequence[int], Network], Likelihood] = Bernoulli,
        guide: Callable[[Sequence[int], int, Network], Posterior] = DiagonalNormal,
        network: Callable[[int | list[int]], Network] = MLP,
        elbo: ELBO | None = None,
        latent: int = 20,
        hidden: int | list[int] = 400,
        beta: float = 1.0,
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> None:
        """
        Args:
            data: the data set.
            prior: p(z).
            likelihood: p(x|z).
            guide: q(z|x).
            network: the family of the encoder and the decoder.
            elbo: the objective and its gradient estimator; TraceMeanField_ELBO if left out.
            latent: dimensions of z.
            hidden: width of the hidden layer, or a list of widths from the data to the latent.
            beta: weight of the KL, positive; 1 is the ELBO.
            seed: of the initial weights, of the draws and of the data's order.
            device: auto, cpu, cuda or cuda:0.
            precision: float32; tf32: matrix products of float32 numbers in tf32 on devices that have it; bf16: networks
                in bfloat16, parameters and log-densities in float32; float64: for checks.

        Raises:
            ValueError: options that do not fit each other or the data.
            DataError: data missing or corrupt.
        """
        if not 0 < beta < math.inf:
            raise ValueError(f"beta = {beta}: the KL's weight is positive; to switch it off, take a small one, 1e-6")
        if latent < 1:
            raise ValueError(f"latent = {latent}: z has at least one dimension")
        self.elbo = elbo or TraceMeanField_ELBO()
        legality.check_objective(self.elbo)
        self.seed, self.beta = seed, beta
        self.device = device_named(device)
        self.source = data
        splits = with_validation(data.splits(), data.validation, seed)
        room.check_parameters(lambda: self._parts(prior, likelihood, guide, network(hidden), splits.shape, latent))
        pyro.set_rng_seed(seed)
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        family = network(hidden) if precision != "bf16" else InBFloat16(network(hidden), self.device.type)
        p_z, p_x, q_z = self._parts(prior, likelihood, guide, family, splits.shape, latent)
        self.fingerprints = record.fingerprints(splits)
        dtype = torch.float64 if precision == "float64" else torch.float32
        self.dataset = data.load(splits, self.device, bits=p_x.support is constraints.boolean, dtype=dtype)
        legality.check_support(p_x, self.dataset)
        for part in (p_z, p_x, q_z):
            part.to(self.device, dtype)
        p_z.prepare(q_z, self.dataset.train)
        if type(p_x).prepare is not Likelihood.prepare:  # data on the disk are not read for nothing
            for block in chain.from_iterable(map(blocks, self.dataset.parts())):
                p_x.prepare(block)
        legality.check_latents(p_z, q_z)
        self.model = Model(p_z, p_x, beta=beta).to(self.device, dtype)
        self.guide = Guide(q_z, beta=beta).to(self.device, dtype)
        self.objective = self.elbo(self.model, self.guide)
        self.objective.eval()  # a look at the programs is no step: it leaves running means as they are
        probe = self.first_data(_PROBE)
        if isinstance(self.elbo, Estimator):
            self.elbo.check(self.model, self.guide, probe)
        self.kl = kl_routes(self.elbo, self.model, self.guide, probe)
        legality.check_runs(self.objective, probe)
        self.objective.train()

    @staticmethod
    def _parts(
        prior: Callable[[int], Prior],
        likelihood: Callable[[int, Sequence[int], Network], Likelihood],
        guide: Callable[[Sequence[int], int, Network], Posterior],
        family: Network,
        shape: Sequence[int],
        latent: int,
    ) -> tuple[Prior, Likelihood, Posterior]:
        """p(z), p(x|z) and q(z|x), freshly drawn."""
        p_z = prior(latent)
        return p_z, likelihood(p_z.seen, shape, family), guide(shape, latent, family)

    @classmethod
    def of(cls, folder: RunFolder, *, device: str = "auto", trust: bool = False) -> Self:
        """The experiment of a run, with fresh parameters.

        Args:
            folder: the run's.
            device: auto, cpu, cuda or cuda:0.
            trust: whether its config.yaml may name code that is not this program's.

        Raises:
            ValueError: the folder holds no run, or names code that is not trusted. DataError: its data are gone.
        """
        settings = folder.settings()
        trusted.read(settings, folder.path, trust=trust)
        parser = ExperimentParser(exit_on_error=False)
        parser.add_class_arguments(cls)
        own = {name: settings[name] for name in inspect.signature(cls).parameters if name in settings}
        try:
            parts = parser.instantiate(parser.parse_object(own | {"device": device}))
        except ArgumentError as error:
            raise ValueError(f"{folder.path} holds no run of this version: {error}") from error
        return cls(**{name: parts[name] for name in own})

    @classmethod
    def load(cls, folder: RunFolder, *, device: str = "auto", which: Kept = "last", trust: bool = False) -> Self:
        """The experiment of a run, with the parameters of its checkpoint.

        Raises:
            ValueError: as `of`. CheckpointError: its checkpoint is missing or damaged, or of other options or data.
        """
        experiment = cls.of(folder, device=device, trust=trust)
        experiment.take(folder, which)
        return experiment

    def take(self, folder: RunFolder, which: Kept = "last") -> dict[str, Any]:
        """Takes the parameters of a run's checkpoint, and returns all that it holds.

        Raises:
            CheckpointError: it is missing or damaged, or of other options or data.
        """
        saved = checkpoint.load(folder.path, self.device, which)
        record.check(saved.get("record", {}), folder, self.fingerprints)
        check_parameters(self.objective, saved["objective"], folder.path / checkpoint.FILES[which])
        self.objective.load_state_dict(saved["objective"])
        return saved

    def first_data(self, count: int) -> Tensor:
        """The first so many training data, or as many as there are, drawn as a batch."""
        return self.dataset.batch(torch.arange(min(count, len(self.dataset.train)), device=self.dataset.index_device))

    def set_beta(self, beta: float) -> None:
        """Moves the KL's weight on both sides."""
        self.model.beta.fill_(beta)
        self.guide.beta.fill_(beta)


def device_named(name: str) -> torch.device:
    """The device that an option names.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":  # a process of several takes the device that is its own
        return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"device = {name}: auto, cpu, cuda or cuda:0, cuda:1, ...")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device = {name}, but this PyTorch ({torch.__version__}) sees no CUDA device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device = {name}, but there are only {torch.cuda.device_count()} CUDA devices")
    return device
