"""The atlas: three tiny cases through the whole machinery, and the verdicts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs_tracer

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "atlas").exists(), reason="needs the checkout")

TINY = """
import time

from atlas.case import Field
from gilknocker.testing import hold_gil

FIELD = Field(__name__)


@FIELD.case("python", "hold_gil(0.3)", guess="keeps")
def keeps(_):
    hold_gil(0.3)


@FIELD.case("python", "sleep(0.3)", guess="releases")
def sleeps(_):
    time.sleep(0.3)


@FIELD.case("python", "a failure", guess="keeps")
def fails(_):
    raise ValueError("no such thing")
"""
# The witness is without gilknocker: there the load is one that everybody has.
WITHOUT = "import sys\nhold_gil = lambda seconds: sum(range(int(seconds * 1e8)))\n"


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "atlas", tmp_path / "atlas", ignore=shutil.ignore_patterns("data"))
    (tmp_path / "build").mkdir()
    program = TINY.replace("from gilknocker.testing import hold_gil\n", WITHOUT)
    (tmp_path / "atlas" / "fields" / "tiny.py").write_text(program)
    return tmp_path / "atlas"


def run(atlas: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, atlas / "run.py", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )


@needs_tracer
def test_three_cases_through_the_whole(atlas: Path) -> None:
    got = run(atlas, "--here", "tiny")
    assert got.returncode == 1 and "ValueError: no such thing" in got.stdout, got.stderr
    [path] = (atlas / "data").glob("*.json")
    data = json.loads(path.read_text())
    assert (data["format"], data["version"]) == ("gilknocker.atlas", 1)
    rows = {row["name"]: row for row in data["rows"]}
    assert set(rows) == {"keeps", "sleeps", "fails"} and "error" in rows["fails"]
    assert rows["keeps"]["verdict"] in ("keeps", "long pieces")
    assert rows["keeps"]["held_share"] > 0.5 > 0.2 > rows["sleeps"]["held_share"]
    assert rows["keeps"]["witness_longest_ns"] > 20_000_000


def test_what_there_is_not(atlas: Path) -> None:
    assert "no field 'nothing'; there are: " in run(atlas, "--here", "nothing").stderr
    assert "no case 'x' in tiny; there are: keeps" in run(atlas, "--here", "tiny.x").stderr


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(ROOT))
    from atlas import verdict

    return verdict


@pytest.mark.parametrize(
    ("seconds", "share", "longest_ms", "expected"),
    [
        (1.0, 1.0, 900, "keeps"),
        (1.0, 0.1, 600, "keeps"),
        (1.0, 1.0, 100, "long pieces"),
        (1.0, 1.0, 5, "gives way"),
        (1.0, 0.5, 5, "mixed"),
        (1.0, 0.01, 1, "releases"),
    ],
)
def test_verdicts(
    judge: object, seconds: float, share: float, longest_ms: int, expected: str
) -> None:
    from atlas.verdict import Figures, verdict

    assert verdict(Figures(seconds, share, longest_ms * 1_000_000)) == expected


@pytest.mark.parametrize(
    ("traced_ms", "seen_ms", "expected"),
    [(1, 2, True), (500, 480, True), (500, 300, True), (30, 5, False), (25, 15, True)],
)
def test_agreement(judge: object, traced_ms: int, seen_ms: int, expected: bool) -> None:
    from atlas.verdict import agree

    assert agree(traced_ms * 1_000_000, seen_ms * 1_000_000) is expected


def test_all_fields_load(judge: object) -> None:
    from atlas import case
    from atlas.verdict import VERDICTS

    for field in case.names():
        for one in case.load(field).values():
            assert one.guess in VERDICTS, one.key
