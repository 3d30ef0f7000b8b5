"""The atlas: what is kept when something fails, and the one command that makes all of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "atlas").exists(), reason="needs the checkout")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    from atlas import run

    return run


def row_of(run: ModuleType, case: Any, **more: object) -> dict[str, object]:
    measured = {"seconds": 0.3, "same_again": True, "witness_agrees": True, "verdict": "keeps"}
    return {**run.texts(case), **measured, **more}


def test_a_failure_leaves_what_was_measured(run: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "3.12.json"
    first, second = list(run.chosen(["stdlib"]))[:2]
    run.keep(path, row_of(run, first))
    for case in (first, second):
        run.keep(path, {**run.texts(case), "error": "no network"})
    rows = {row["name"]: row for row in run.rows_of(path)}
    assert "error" not in rows[first.name] and "error" in rows[second.name]
    run.keep(path, row_of(run, second))
    assert not any("error" in row for row in run.rows_of(path))


def test_a_row_is_of_the_input_that_was_measured(run: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "3.12.json"
    [case] = run.chosen(["stdlib.sort_floats"])
    assert not run.is_measured(case, run.rows_of(path))
    run.keep(path, row_of(run, case, size="3 floats", why="of old"))
    run.retell(path)
    [row] = run.rows_of(path)
    assert row["size"] == "3 floats" and row["why"] == case.why
    assert not run.is_measured(case, [row])
    run.keep(path, row_of(run, case))
    assert run.is_measured(case, run.rows_of(path))
    assert not run.is_measured(case, [{**run.texts(case), "error": "none"}])


class Pip:
    """In the place of the processes that make environments: no package of a name is to be had."""

    def __init__(self, missing: str) -> None:
        self.missing = missing
        self.installed: list[str] = []
        self.tries: list[str] = []

    def __call__(self, words: Any, check: bool = False, **_: object) -> Any:
        words = [str(word) for word in words]
        text = Path(words[-1]).read_text() if words[-1].endswith(".txt") else words[-1]
        self.tries += [text] if words[-1].endswith(".txt") else []
        if self.missing in text:
            if check:
                raise subprocess.CalledProcessError(1, words)
            return subprocess.CompletedProcess(words, 1)
        if "wheel" in words:
            folder = Path(words[words.index("-w") + 1])
            folder.mkdir(parents=True)
            (folder / "gilknocker-0-any.whl").touch()
        elif "install" in words:
            self.installed += text.split()
        return subprocess.CompletedProcess(words, 0)


@pytest.fixture
def environments(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    from atlas import environments

    locks = tmp_path / "locks" / "3.12"
    locks.mkdir(parents=True)
    (locks / "text.txt").write_text("first==1\nsecond==2\nthird==3\n")
    (locks / "stdlib.txt").write_text("first==1\n")
    (tmp_path / "build" / "3.12").mkdir(parents=True)
    monkeypatch.setattr(environments, "HERE", tmp_path)
    return environments


def test_a_package_that_cannot_be_had_costs_no_other(
    environments: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pip = Pip("second")
    monkeypatch.setattr(environments.subprocess, "run", pip)
    made = environments.Environments("3.12", "python3.12", tmp_path / "build")
    made.make(["text", "stdlib", "text"])
    wheel = str(tmp_path / "build" / "3.12" / "wheel" / "gilknocker-0-any.whl")
    assert made.python("text").endswith("text/bin/python")
    assert sorted(pip.installed) == sorted(["first==1", "third==3", "first==1", wheel, wheel])
    assert len(pip.tries) == environments.TRIES + 1  # of them one is for the standard library's
    again = environments.Environments("3.12", "python3.12", tmp_path / "build")
    again.python("stdlib")
    assert len(pip.tries) == environments.TRIES + 1  # what is installed already


def test_a_field_without_an_environment_costs_no_other(
    environments: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environments.subprocess, "run", Pip("nothing"))
    made = environments.Environments("3.12", "python3.12", tmp_path / "build")
    made.make(["crypto", "stdlib"])  # the first has no lock here
    with pytest.raises(environments.NoEnvironmentError, match=r"no environment: .*crypto"):
        made.python("crypto")
    assert made.python("stdlib")


class Fake:
    """In the place of the processes that measure: one call fails at first."""

    def __init__(self, run: ModuleType) -> None:
        self.run = run
        self.measured: list[str] = []
        self.fails = "stdlib.sleep"
        self.stops = "stdlib_io.sha256"

    def __call__(self, folder: Path, *words: Any) -> None:
        program, words = Path(words[1]).name, words[2:]
        if program == "table.py":
            return
        path = Path(words[words.index("--data") + 1])
        if program == "small.py":
            path.write_text(json.dumps({"pythons": {"3.12": {"rows": {}}}}))
            return
        path /= f"{words[words.index('--python') + 1]}.json"
        for case in self.run.chosen([word for word in words if word in ("stdlib", "stdlib_io")]):
            if case.key == self.stops:
                self.stops = ""
                raise KeyboardInterrupt
            if not self.run.is_measured(case, self.run.rows_of(path)):
                self.measured.append(case.key)
                row = {**self.run.texts(case), "error": "of the network"}
                self.run.keep(path, row if case.key == self.fails else row_of(self.run, case))


@pytest.fixture
def whole(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    from atlas import whole

    monkeypatch.setattr(whole, "FIELDS", {"3.12": ("stdlib", "stdlib_io")})
    monkeypatch.setattr(whole, "SMALL", ("3.12",))
    monkeypatch.setattr(run, "DATA", tmp_path / "docs")
    monkeypatch.setattr("sys.argv", ["whole.py", "--build", str(tmp_path / "build")])
    return whole


def test_the_whole_goes_on_where_it_was_stopped(
    whole: ModuleType,
    run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    fake = Fake(run)
    monkeypatch.setattr(whole, "_try", fake)
    with pytest.raises(KeyboardInterrupt):
        whole.main()
    assert not (tmp_path / "docs").exists()
    assert whole.main() == 1  # what failed is named
    count = len(list(run.chosen(["stdlib", "stdlib_io"])))
    assert sorted(set(fake.measured)) == sorted(
        case.key for case in run.chosen(["stdlib", "stdlib_io"])
    )
    assert {key for key in fake.measured if fake.measured.count(key) > 1} == {fake.fails}
    said = capsys.readouterr().out
    assert "FAILED: stdlib.sleep on 3.12" in said
    assert f"{count - 1} rows of 1 Pythons in 0 minutes" in said
    assert "two runs gave the same verdict for 100.0% of them" in said
    assert len(run.rows_of(tmp_path / "docs" / "3.12.json")) == count - 1
    fake.fails, fake.measured = "", []
    assert whole.main() == 0
    assert fake.measured == ["stdlib.sleep"]
    assert len(run.rows_of(tmp_path / "docs" / "3.12.json")) == count
    assert json.loads((tmp_path / "docs" / "small.json").read_text())["pythons"]
    fake.measured = []
    whole.main()  # all was done: this is another run
    assert len(fake.measured) == count
