"""README and manual: every block of code and every command in them is run, links lead somewhere.

A block of Python is run after those above it on the page, and after tests/documents/PAGE.py, which
has what the page takes for granted. Blocks after ``<!-- pytest -->`` are tests; of a console, the
lines after ``$`` are run, in a folder with the examples; cells need the extra [notebook]. After
``<!-- not run: REASON -->`` one is not run; those after ``<!-- command: NAME -->`` are by CI.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runs import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
STAND_INS = Path(__file__).with_name("documents")
PAGES = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if path.exists()]
BLOCK = re.compile(r"^(?:<!-- ([^\n]*) -->\n)?```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Of these languages, what is in a page is run; the others are there to be looked at.
RUN = ("python", "ipython", "console", "bash", "pycon")
SHOWN = ("", "text", "json", "toml", "ini", "yaml", "promql", "mermaid")

pytestmark = pytest.mark.skipif(not PAGES, reason="needs the checkout")


@dataclass(frozen=True)
class Block:
    """A block of code in a page, and the remark before it."""

    remark: str
    language: str
    code: str

    @property
    def is_run_here(self) -> bool:
        return not self.remark.startswith(("not run: ", "command: "))


def blocks(page: Path) -> Iterator[Block]:
    for remark, language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        yield Block(remark, language, code)


def wanted(language: str, remark: str = "") -> list[Path]:
    """Return the pages that have such blocks to run."""
    return [
        page
        for page in PAGES
        if any(
            block.language == language and block.is_run_here and (block.remark == remark)
            for block in blocks(page)
        )
    ]


def code_of(page: Path, language: str, remark: str = "") -> list[str]:
    return [
        block.code
        for block in blocks(page)
        if block.language == language and block.is_run_here and block.remark == remark
    ]


def stand_in(page: Path) -> str:
    path = STAND_INS / f"{page.stem}.py"
    return path.read_text() if path.exists() else ""


def run(folder: Path, *command: str | Path) -> str:
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    got = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert got.returncode == 0, got.stdout[-3000:] + got.stderr[-3000:]
    return got.stdout


def name_of(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", wanted("python"), ids=name_of)
def test_python(page: Path, tmp_path: Path) -> None:
    for needed in re.findall(r"Needs: ([^.]*)\.", stand_in(page)):
        for module in needed.split(", "):
            pytest.importorskip(module, reason="needs the extra [notebook]")
    program = "\n".join([stand_in(page), *code_of(page, "python")])
    (tmp_path / "page.py").write_text(program)
    run(tmp_path, sys.executable, "-W", "error", "page.py")


@pytest.mark.parametrize("page", wanted("python", "pytest"), ids=name_of)
def test_tests(page: Path, tmp_path: Path) -> None:
    for i, code in enumerate(code_of(page, "python", "pytest")):
        (tmp_path / f"test_{i}.py").write_text(stand_in(page) + "\n" + code)
    run(tmp_path, sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")


@pytest.mark.parametrize("page", wanted("ipython"), ids=name_of)
def test_cells(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("IPython", reason="needs the extra [notebook]")
    cells = [
        cell for code in code_of(page, "ipython") for cell in re.split(r"\n\n(?=%%|In )", code)
    ]
    (tmp_path / "cells.py").write_text(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        f"for cell in {[stand_in(page), *cells]!r}:\n"
        "    shell.run_cell(cell).raise_error()\n"
    )
    run(tmp_path, sys.executable, "cells.py")


@pytest.mark.parametrize("page", wanted("console"), ids=name_of)
def test_commands(page: Path, tmp_path: Path) -> None:
    beside = Path(sys.executable).parent  # where pip put the command
    lines = [
        line[2:]
        for code in code_of(page, "console")
        for line in code.splitlines()
        if line.startswith("$ ")
    ]
    script = f"set -e; PATH={beside}:$PATH\n" + "\n".join(lines)
    run(tmp_path, "bash", "-c", script)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_else_is_code(page: Path) -> None:
    for block in blocks(page):
        assert block.language in (*RUN, *SHOWN), block
        if block.language == "bash":
            assert not block.is_run_here, f"a command line is console, or run by CI: {block}"
        if block.remark.startswith("not run:"):
            assert len(block.remark) > len("not run: ") + 10, f"say why: {block}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("#"):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="tests away from the checkout")
def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
