"""python evaluate.py compare RUN RUN ...: a table over runs, and their place in the rate-distortion plane."""

import os
import sys
from pathlib import Path

from data.files import check_writable, write_atomically
from training import figures
from training.checkpoint import CheckpointError
from training.comparison import table


def compare(runs: list[Path], *, csv: Path | None = None, picture: Path | None = None) -> int:
    """Prints one table over runs: those that differ in the seed alone are one row, mean and standard error.

    What differs between the rows names them; the best is in bold. Runs that saw other test data, or whose likelihood is
    a density beside masses, get a table of their own. What is no run, or was not judged, is left out and named.

    Args:
        runs: the runs' folders, such as runs/*.
        csv: a file for the table.
        picture: the rate-distortion plane; rate-distortion.png beside the runs if left out.
    """
    picture = picture or Path(os.path.commonpath([path.absolute().parent for path in runs])) / "rate-distortion.png"
    for path in filter(None, (csv, picture)):
        check_writable(path)
    judged = []
    for path in filter(Path.is_dir, runs):
        try:
            judged.append(table.Judged.of(path))
        except (ValueError, CheckpointError) as error:
            print(f"left out: {path}: {error}", file=sys.stderr)
    for run, before in table.seed_twice(judged):
        print(f"left out: {run.path}: the options and the seed of {before.path}", file=sys.stderr)
        judged.remove(run)
    if not judged:
        raise ValueError("there is no judged run among these folders")
    tables = table.compared(judged)
    print("test set, nats per datum; mean ± standard error over seeds, the lowest in bold")
    for rows in tables:
        if len(tables) > 1:
            print(f"\nof the same test data: {', '.join(str(run.path) for row in rows for run in row.runs)}")
        print("\n" + table.markdown(rows))
    if csv:
        write_atomically(csv, table.as_csv(tables).encode())
    for number, rows in enumerate(tables):
        points = [(row.title, row.values("distortion"), row.values("rate")) for row in rows]
        path = picture.with_stem(f"{picture.stem}-{number}") if number else picture
        figures.save(figures.rate_distortion(points, "Rate and distortion on the test set"), path)
        print(("\n" if not number else "") + f"picture: {path}")
    return 0
