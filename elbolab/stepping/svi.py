"""SVI at the speed of the hardware: a drop-in for `pyro.infer.SVI` whose steps are compiled graphs."""

from collections.abc import Callable
from typing import Any

import torch
from pyro.infer import ELBO, SVI
from pyro.optim import PyroOptim
from torch import Tensor

from elbolab.stepping.cache import Cache
from elbolab.stepping.optimizers import Factory, Together


class CompiledSVI(SVI):
    """`pyro.infer.SVI` whose steps run as one compiled graph each: programs, gradients and optimiser.

    The first step of every structure of arguments is Pyro's own: what is made at the first step is there afterwards.
    At the second, the step is traced and compared with what Pyro's step does, from the same state and generator:
    loss, gradients, buffers, optimiser, random numbers. It is compared again at the next step and then ever more
    seldom, on whatever batch there is then. What cannot be captured, or does not agree, is left to Pyro, and
    `described` says why.

    A graph is for one structure and shape of arguments, and for the plain values that the programs see (numbers, flags
    and strings in arguments, attributes, globals and closures; train or eval mode): where one of them is another, it is
    not used. A float among the arguments that changes travels as a tensor. Parameters are where Pyro has them and are
    moved in place.
    """

    def __init__(
        self,
        model: Callable,
        guide: Callable,
        optim: PyroOptim | Factory,
        loss: ELBO | Callable,
        loss_and_grads: Callable | None = None,
        *,
        compile: bool = True,
        graphs: int = 8,
        **options: Any,
    ) -> None:
        """
        Args:
            model, guide: Pyro programs: functions, methods or modules.
            optim: an optimiser of pyro.optim, or what makes one of torch.optim from an iterable of parameters; then
                modules' parameters are trained even where no `pyro.module` names them.
            loss: a Pyro ELBO, an estimator of this library, or a function of model, guide and their arguments.
            loss_and_grads: as in SVI, where the loss is a function.
            compile: graphs as machine code; without, they run operation by operation, which takes no time to compile.
            graphs: how many to keep at most; programs that need more, such as one for every batch, are left to Pyro.
            options: what else SVI takes.
        """
        if graphs < 1:
            raise ValueError(f"graphs = {graphs}: at least one is kept")
        if not isinstance(optim, PyroOptim):
            if not callable(optim):
                raise ValueError(
                    f"optim = {optim}: an optimiser of pyro.optim, or what makes one of torch.optim from parameters,"
                    " such as lambda parameters: torch.optim.Adam(parameters, lr=1e-3)"
                )
            optim = Together(optim)
        super().__init__(model, guide, optim, loss, loss_and_grads, **options)
        self._steps = Cache(self, loss, gradient=True, compile=compile, graphs=graphs)
        self._evaluations = Cache(self, loss, gradient=False, compile=compile, graphs=graphs)

    def step(self, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, ...]:
        """Moves the parameters down the loss, whose value it returns in nats.

        It is a 0-dimensional tensor in float64: `float(loss)` waits for it, the step does not.
        """
        return self._steps(args, kwargs)

    def evaluate_loss(self, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, ...]:
        """The loss, in nats; nothing is moved."""
        with torch.no_grad():
            return self._evaluations(args, kwargs)

    @property
    def described(self) -> str:
        """How the latest step was taken: `compiled: ...`, or `eager: ` and why."""
        return self._steps.described
