"""The page of a run, put together and written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from elbolab.report.constants import size
from elbolab.report.page import LIMIT, filled, page, table
from training.experiment import Experiment
from training.report import content
from training.report.precision import Kept, kept
from training.report.programs import PYROS, Exported, Parts
from training.run_folder import RunFolder, write_atomically

HERE = Path(__file__).parent
ROOM = 2000  # bytes for what is not known before the precision is


def write(lab: Experiment, folder: RunFolder, means: Tensor, *, limit: int = LIMIT) -> tuple[Path, str]:
    """Writes report.html into a run's folder; returns where it is, and a line on what is in it.

    Args:
        lab: the run's experiment, with the parameters of its checkpoint.
        folder: the run's.
        means: posterior means of the test data, shape (data, latent).
        limit: bytes that the file may take; what does not fit is left out, and named in the page.
    """
    parts, means = Parts(lab), means.detach().cpu().double()
    settings, summary = folder.settings(), folder.summary()
    names = lab.dataset.columns or content.column_names(settings, lab.dataset.shape)
    told = content.told(lab, parts, folder, means, names)
    data = lab.dataset.test.cpu().double()[content.shown(lab)]
    places: dict[str, int] = {}
    frames: dict[int, int] = {}  # bytes of all but the arrays

    def prepare(found: Exported) -> None:
        places.update(content.put(found, lab, means))

    def rendered(found: Exported, text: str, index: list, values: Sequence[Tensor], how: Mapping[str, Any]) -> str:
        programs = {name: program.as_dict() for name, program in found.programs.items()}
        whole = told | {
            "arrays": places,
            "programs": programs,
            "refused": found.refused,
            "constants": index,
            "checks": content.checks(found, values, data[:1]),
            "references": content.references(found, parts, data) if how.get("exact") else [],
            "precision": how,
        }
        return page(_title(folder), _body(lab, folder, settings, summary, parts), HERE / "js/run.js", whole, text)

    def fits(found: Exported, bits: float | None) -> bool:
        if id(found) not in frames:
            frames[id(found)] = len(rendered(found, "", [], found.constants.values, {"exact": True}).encode())
        text, index = found.constants.packed(bits)
        return frames[id(found)] + size(text) + len(json.dumps(index)) // 4 + ROOM <= limit

    chosen = kept(parts, data, prepare, fits)
    prepare(chosen.exported)
    how = {"exact": chosen.exact, "apart": chosen.apart, "bits": chosen.bits, "data": len(data)}
    packed, values = chosen.exported.constants.packed(chosen.bits), chosen.exported.constants.coarse(chosen.bits)
    file = rendered(chosen.exported, *packed, values, how).encode()
    path = folder.path / "report.html"
    write_atomically(path, file)
    return path, _line(chosen, len(file), limit)


def _line(chosen: Kept, size: int, limit: int) -> str:
    weights = (
        "float32 weights" if chosen.bits is None else f"weights of {chosen.bits:.1f} bits below their root mean square"
    )
    line = f"{size / 1e6:.2f} MB, {weights}"
    if chosen.exact and chosen.bits is not None:
        line += f", numbers within {chosen.apart:.1e} nats of the run's"
    if not chosen.exact:
        line += f"; left out, to stay below {limit / 1e6:g} MB: " + ", ".join(chosen.exported.refused)
    return line


def _title(folder: RunFolder) -> str:
    return f"{folder.path.resolve().name}: a variational auto-encoder, computing"


def _body(lab: Experiment, folder: RunFolder, settings: Mapping, summary: Mapping, parts: Parts) -> str:
    return filled(
        HERE / "templates/run.html",
        name=folder.path.resolve().name,
        what=_sentence(settings),
        facts_html=table(_facts(lab, folder, settings)),
        result_html=table(_result(summary)) or "<tr><td>This run has not been evaluated.</td></tr>",
        trace=PYROS["trace"].__name__,
        mean_field=PYROS["mean_field"].__name__,
        loss="BCE" if parts.written else "−log p(x|z)",
    )


def _sentence(settings: Mapping[str, Any]) -> str:
    prior, likelihood, guide = (_named(settings.get(part)) for part in ("prior", "likelihood", "guide"))
    return (
        f"Trained on {_named(settings.get('data'))}: prior {prior}, likelihood {likelihood}, guide {guide},"
        f" objective {_named(settings.get('elbo'))}, {settings.get('latent')} latents."
    )


def _named(part: Any) -> str:
    """A part by its class, and what it was configured with, if that is short."""
    if not isinstance(part, Mapping):
        return str(part).rsplit(".", 1)[-1]
    return str(part.get("class_path", part)).rsplit(".", 1)[-1]


def _options(part: Any) -> str:
    if not isinstance(part, Mapping) or not part.get("init_args"):
        return _named(part)
    options = ", ".join(f"{name} {value}" for name, value in part["init_args"].items() if value is not None)
    return f"{_named(part)} ({options})"


def _facts(lab: Experiment, folder: RunFolder, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("folder", str(folder.path)), ("data", _options(settings.get("data"))), ("", lab.dataset.described())]
    rows += [(name, _options(settings.get(name))) for name in ("prior", "likelihood", "guide", "network")]
    rows += [("objective", _options(settings.get("elbo")))]
    rows += [(f"KL of {name}", route) for name, route in lab.kl.items()]
    rows += [("optimiser", _options(settings.get("optimizer")))]
    rows += [("annealing of the KL", _options(settings["annealing"]))] if settings.get("annealing") else []
    numbers = (
        "latent",
        "hidden",
        "beta",
        "epochs",
        "patience",
        "batch_size",
        "beta_warmup",
        "clip",
        "seed",
        "precision",
    )
    for name in numbers:
        if settings.get(name) is not None:
            rows.append((name.replace("_", " "), str(settings[name])))
    environment = folder.environment()
    rows += [(name, str(version)) for name, version in environment.get("packages", {}).items()]
    rows += [
        (name, str(environment[name]))
        for name in ("python", "platform", "device", "threads", "started")
        if name in environment
    ]
    return rows


def _result(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    test = summary.get("test")
    if not test:
        return []
    rows = [
        ("test −ELBO", f"{test['loss']:.2f} nats per datum"),
        ("of which distortion", f"{test['distortion']:.2f} nats per datum"),
        ("of which rate", f"{test['rate']:.2f} nats per datum"),
        (
            "test −log p(x)",
            f"at most {test['nll']:.2f} nats per datum; standard error {test['nll_test_set_error']:.2f} from the"
            f" {test['data']} test data, {test['nll_monte_carlo_error']:.3f} from {test['samples']} importance samples",
        ),
        ("active units", f"{test['active_units']} of {test['latent']}"),
    ]
    return rows + ([("perplexity", f"{test['perplexity']:.1f} per word")] if "perplexity" in test else [])
