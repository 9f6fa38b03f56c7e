"""`python3 dev.py survive [NAMES]`: the long form of the figures, as a table; the exit code tells whether all hold."""

from __future__ import annotations

import logging
import sys

from survival.figures import FIGURES
from survival.place import opened


def main(names: list[str]) -> int:
    """Measure the figures by name, all without any."""
    if unknown := set(names) - {figure.name for figure in FIGURES}:
        print("no figure", ", ".join(sorted(unknown)), "- there are", ", ".join(figure.name for figure in FIGURES))
        return 2
    logging.disable(logging.CRITICAL)  # the pools tell of each connection that was killed
    is_wrong = False
    with opened() as place:
        for figure in FIGURES:
            if names and figure.name not in names:
                continue
            print(f"\n{figure.name}: {figure.promise}\n\n| way | found | promise |\n| --- | --- | --- |", flush=True)
            for row in figure.measure(place, True):
                print(f"| {row.way} | {row.found} | {'kept' if row.is_kept else 'broken'} |", flush=True)
                is_wrong = is_wrong or (not row.is_control and not row.is_kept)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
