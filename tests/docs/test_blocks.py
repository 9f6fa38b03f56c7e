"""Every Python block of the README and the docs runs as pasted; what a page shows as output is the output.

The blocks of a page run one after the other in one fresh process, with every warning an error. A block that prints
shows what it prints; one that cannot run anywhere stands behind `<!-- no-run: reason -->`.
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
SKIPPED = re.compile(r"<!-- no-run: \S[^\n]* -->\n+```python\n.*?```", re.DOTALL)
# the blocks stand in a real `__main__`, where annotations are looked up; `app.py` is where the errors on a page happen
RUN = """
import contextlib, io, json, sys, types
sys.modules["__main__"] = page = types.ModuleType("__main__")
for number, (source, expected) in enumerate(json.load(sys.stdin), 1):
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(source, "app.py", "exec"), vars(page))
    except BaseException:
        print("block", number, "of the page failed:\\n" + source, file=sys.stderr)
        raise
    if out.getvalue() != (expected or ""):
        sys.exit(f"block {number} of the page shows\\n{expected}\\nbut prints\\n{out.getvalue()}")
"""


def _blocks(page: Path) -> list[tuple[str, str | None]]:
    text = SKIPPED.sub("", page.read_text())
    return [(found[1], found[2]) for found in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", RUN]
    done = subprocess.run(
        command, input=json.dumps(_blocks(page)), cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            there = page.parent / target if target else page
            if not there.exists() or (anchor and anchor not in _anchors(there)):
                broken.append(f"{page.relative_to(ROOT)} -> {target}#{anchor}")
    assert broken == []
