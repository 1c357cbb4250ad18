"""Who else is told of a run while it trains. metrics.jsonl is written whatever a logger does: it stays the truth."""

import csv
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]


class Logger(ABC):
    """The contract: one method, told of every epoch; the constructor takes the run's folder, and options of its own."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: the run's; nothing may be written into it before the first call of `log`.
        """
        self.folder = folder

    @abstractmethod
    def log(self, row: Row, pictures: Mapping[str, "Figure"]) -> None:
        """Takes a line of metrics.jsonl: numbers by name, and `kl`, where there is one, a list, nats for every latent.

        A run that goes on after a crash tells some of its steps again: what was told of them and later ones is void.

        Args:
            row: the line; `step` and `epoch` say of when.
            pictures: figures of matplotlib by name: at the run's last epoch; before it none.
        """


class CSV(Logger):
    """metrics.csv in the run's folder: a line an epoch, a column a number; kl.0, kl.1, ... for the latents."""

    def log(self, row: Row, pictures: Mapping[str, "Figure"]) -> None:
        now = {name: str(value) for name, value in _flat(row, "{}.{}").items()}
        path = self.folder / "metrics.csv"
        before = [r for r in _lines(path) if int(r["step"]) < row["step"]]
        columns = list(dict.fromkeys(name for line in (*before, now) for name in line))
        lines = [columns, *([line.get(name, "") for name in columns] for line in (*before, now))]
        write_atomically(path, "".join(",".join(line) + "\n" for line in lines).encode())


class TensorBoard(Logger):
    """Event files in the run's folder tensorboard: `tensorboard --logdir runs` shows them (elbolab[tensorboard])."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError(f"--log tensorboard: {error}; pip install 'elbolab[tensorboard]'") from error
        self._make: Callable[..., Any] = SummaryWriter
        self._writer: Any = None

    def log(self, row: Row, pictures: Mapping[str, "Figure"]) -> None:
        step = row["step"]
        if self._writer is None:  # from this step on, what an earlier process wrote is not shown
            self._writer = self._make(str(self.folder / "tensorboard"), purge_step=step)
        for name, value in _flat(row, "{}/{}").items():
            if name not in ("step", "epoch"):
                self._writer.add_scalar(_tag(name), value, step)
        for name, figure in pictures.items():
            self._writer.add_figure(name, figure, step)
        self._writer.flush()


class Telling:
    """A logger of anybody's, whose mistakes do not end a run: the first one is said, and the run goes on without it."""

    def __init__(self, logger: Logger | None) -> None:
        self._logger = logger

    def __call__(self, row: Row, pictures: Callable[[], Mapping[str, "Figure"]] | None = None) -> None:
        """Hands on a line, and the pictures where it is the last one."""
        if self._logger is None:
            return
        drawn: Mapping[str, Figure] = {}
        try:
            drawn = pictures() if pictures else {}
        except Exception as error:  # of a distribution without a mean, or of a class of the user's
            print(f"note: there are no pictures to tell of: {_first_line(error)}", file=sys.stderr)
        try:
            self._logger.log(row, drawn)
        except Exception as error:  # of code that is not this program's
            name, self._logger = type(self._logger).__name__, None
            print(f"note: {name} is told no more: {_first_line(error)}", file=sys.stderr)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _flat(row: Row, pattern: str) -> dict[str, float]:
    """The numbers of a line, those of a list under names of their own."""
    found: dict[str, float] = {}
    for name, value in row.items():
        values = {pattern.format(name, i): v for i, v in enumerate(value)} if isinstance(value, list) else {name: value}
        found |= values
    return found


def _tag(name: str) -> str:
    """loss/train, loss/validation, ...: TensorBoard draws what has one first name side by side."""
    if name == "loss":
        return "loss/train"
    split, _, what = name.partition("_")
    return f"{what}/{split}" if split in ("validation", "test") else name


def _lines(path: Path) -> list[dict[str, str]]:
    """The whole lines of a file that is there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    return [line for line in lines if None not in line and None not in line.values() and line["step"].isdigit()]
