"""Every Python block of the README and the docs runs as pasted; what a page shows as output is the output.

The blocks of a page run one after the other in one fresh process, with every warning an error.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if "```python" in page.read_text()
]
BLOCK = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)
RUN = """
import contextlib, io, json, sys
scope = {"__name__": "__main__"}
for source, expected in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, sys.argv[1], "exec"), scope)
    if expected is not None and out.getvalue() != expected:
        sys.exit("the page shows\\n" + expected + "\\nbut the block prints\\n" + out.getvalue())
"""


def _blocks(page: Path) -> list[tuple[str, str | None]]:
    return [(found[1], found[2]) for found in BLOCK.finditer(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", RUN, str(page)]
    done = subprocess.run(
        command, input=json.dumps(_blocks(page)), cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
