"""The command line of whatever takes an experiment's options."""

import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from jsonargparse import Namespace
from pyro.infer import TraceMeanField_ELBO

from training.catalogue import NAMED
from training.options import Parser


class ExperimentParser(Parser):
    """A command line with the options of an experiment."""

    choices = NAMED
    groups_of_options = MappingProxyType(
        {
            "what is trained": ("data", "prior", "likelihood", "guide", "network", "elbo", "latent", "hidden", "beta"),
            "how": (
                "epochs",
                "batch_size",
                "optimizer",
                "schedule",
                "schedule_by",
                "clip",
                "annealing",
                "beta_warmup",
                "seed",
                "precision",
                "device",
                "compile",
                "patience",
            ),
            "the run": (
                "out",
                "seeds",
                "resume",
                "change",
                "log",
                "overwrite",
                "checkpoint",
                "config",
                "print_config",
                "list",
                "trust_code",
            ),
        }
    )

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **settings: Any) -> Namespace:
        """As everywhere, but an objective that is named starts from its own defaults.

        All of them take num_particles, and jsonargparse would hand on what the one before had.
        """
        given = self._loggers([str(argument) for argument in (sys.argv[1:] if args is None else args)])
        named = any(argument.partition("=")[0] in ("--elbo", "--config") for argument in given)
        fresh = [] if named else ["--elbo", TraceMeanField_ELBO.__name__]
        for argument in given:
            fresh += ["--elbo=null", argument] if argument.partition("=")[0] == "--elbo" else [argument]
        return super().parse_args(fresh, *more, **settings)

    def _loggers(self, given: list[str]) -> list[str]:
        """The same with the names of loggers as their classes have them: --log tensorboard is as good."""
        names = {cls.__name__.lower(): cls.__name__ for cls in self.choices["log"]}
        found = list(given)
        for place, argument in enumerate(given):
            option, equals, value = argument.partition("=")
            if option == "--log" and equals:
                found[place] = f"--log={names.get(value.lower(), value)}"
            elif option == "--log" and place + 1 < len(given):
                found[place + 1] = names.get(given[place + 1].lower(), given[place + 1])
        return found
