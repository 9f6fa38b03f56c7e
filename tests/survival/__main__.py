"""`python3 dev.py survive [--short] [--write] [NAMES]`: the figures as tables; the exit code tells whether all hold.

Without `--short` it is the long form. `--write` keeps what was found in `results/` and in `docs/survival.md`.
"""

from __future__ import annotations

import argparse
import logging
import sys

from survival import report
from survival.figure import Figure, Row
from survival.figures import FIGURES
from survival.place import Place, opened


def main(words: list[str]) -> int:
    """Measure the figures by name, all without any."""
    parser = argparse.ArgumentParser(prog="python3 dev.py survive", description="Measure what survives.")
    names = [figure.name for figure in FIGURES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a figure: {', '.join(names)}; all without any")
    parser.add_argument("--short", action="store_true", help="the short form, as the tests run it")
    parser.add_argument("--write", action="store_true", help="keep what was found, and write it into docs/survival.md")
    chosen = parser.parse_args(words)
    if unknown := set(chosen.names) - set(names):
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    logging.disable(logging.CRITICAL)  # the pools tell of each connection that was killed
    is_wrong = False
    with opened() as place:
        for figure in FIGURES:
            if chosen.names and figure.name not in chosen.names:
                continue
            rows = list(_shown(place, figure, is_long=not chosen.short))
            is_wrong = is_wrong or any(row.is_kept == row.is_control for row in rows)
            if chosen.write and rows:
                report.keep(figure.name, report.result(place, rows, is_long=not chosen.short))
    if chosen.write:
        report.PAGE.write_text(report.page(report.PAGE.read_text("utf-8"), FIGURES, report.kept()), "utf-8")
    return int(is_wrong)


def _shown(place: Place, figure: Figure, *, is_long: bool) -> list[Row]:
    print(f"\n{figure.name}: {figure.promise}\n\n| way | found | promise |\n| --- | --- | --- |", flush=True)
    rows = []
    for row in figure.measure(place, is_long):
        print(f"| {row.way} | {row.found} | {'kept' if row.is_kept else 'broken'} |", flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
