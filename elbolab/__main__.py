"""The command `elbolab`, also `python -m elbolab`: what the library does from a shell, from any folder."""

import sys

from elbolab.auditing import Verdict
from elbolab.auditing.command import main as audit_main


def main(argv: list[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 yes, 1 no, 2 a mistake in what was asked."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] != ["audit"]:
        asked_for_help = argv[:1] in (["-h"], ["--help"])
        stream = sys.stdout if asked_for_help else sys.stderr
        print("usage: elbolab audit FILE.py:FUNCTION, which ELBO a loss is; elbolab audit --help", file=stream)
        return 0 if asked_for_help else 2
    return audit_main(argv[1:], _page)


def _page(verdict: Verdict, name: str) -> str:
    from elbolab.report.audit import audit_page  # only where a page is asked for

    return audit_page(verdict, name=name)


if __name__ == "__main__":
    sys.exit(main())
