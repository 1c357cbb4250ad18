"""One HTML file: a template, styles, JavaScript modules, data; nothing is fetched, what comes in is escaped."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from elbolab.report.constants import compressed

HERE = Path(__file__).parent
LIMIT = 2_000_000  # bytes of a page
_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def page(title: str, body: str, entry: Path, data: Mapping[str, Any], constants: str = "") -> str:
    """The whole file.

    Args:
        title: plain text.
        body: HTML, of which all that comes from outside is escaped (`filled`).
        entry: the JavaScript module that the page starts; what it imports comes with it.
        data: what the page's `dataOf` gives: plain values, kept as deflated JSON.
        constants: arrays as text, from `Constants.packed`.
    """
    return _template(HERE / "templates/page.html").substitute(
        title=html.escape(title),
        style=(HERE / "templates/style.css").read_text(),
        body=body,
        data=compressed(json.dumps(data, allow_nan=False, separators=(",", ":")).encode()),
        constants=constants,
        script=bundle(entry),
    )


def filled(template: Path, **parts: str) -> str:
    """A template with its `$names` filled in; they are plain text and are escaped, but those that end in `_html`."""
    plain = {name: part if name.endswith("_html") else html.escape(part) for name, part in parts.items()}
    return _template(template).substitute(plain)


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they are, as HTML."""
    return "\n".join(f"<tr><th scope=row>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)


def bundle(entry: Path) -> str:
    """A JavaScript module and all that it imports as one script; a module is looked for beside its importer first.

    Raises:
        ValueError: an import or export of a form that is not written here, or of a module that there is not.
    """
    done: dict[str, str] = {}
    _add(entry, done, ())
    return "\n".join(done.values())


def _add(path: Path, done: dict[str, str], above: tuple[str, ...]) -> None:
    source, name = path.read_text(), path.stem
    if name in above:
        raise ValueError(f"{' imports '.join([*above, name])}: a circle")
    for _, needed in _IMPORT.findall(source):
        if needed not in done:
            places = [folder / f"{needed}.js" for folder in (path.parent, HERE / "js")]
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                raise ValueError(f"{path.name} imports {needed}.js, which there is not")
            _add(found, done, (*above, name))
    exported = _EXPORT.findall(source)
    text = _EXPORT.sub("", _IMPORT.sub(r"const { \1 } = module_\2;", source))
    if left := re.search(r"^\s*(import|export)\b.*", text, re.MULTILINE):
        raise ValueError(f"{path.name}: {left[0].strip()} is of a form that the bundle does not know")
    if re.search(r"</script|<!--", text, re.IGNORECASE):
        raise ValueError(f"{path.name} holds what would end the script element")
    done[name] = f"const module_{name} = (() => {{\n{_tight(text)}\nreturn {{ {', '.join(exported)} }};\n}})();"


def _tight(text: str) -> str:
    """Without indents and lines that are comments: a tenth less of the page's two megabytes."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _template(path: Path) -> Template:
    return Template(path.read_text())
