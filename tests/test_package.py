"""What is installed: light to import, typed, and inert in other people's test runs."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs_gil_by_default

import gilknocker

HEAVY = {"numpy", "dataclasses", "typing", "json", "importlib.metadata", "gilknocker._core"}


def run_python(code: str, *, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_else() -> None:
    loaded = run_python(
        "import sys; before = set(sys.modules); import gilknocker;"
        "print(sorted(set(sys.modules) - before))"
    )
    assert loaded.strip() == "['gilknocker']"


def test_knock_knock_needs_no_numpy() -> None:
    loaded = run_python(
        "import sys, time\n"
        "from gilknocker import KnockKnock\n"
        "with KnockKnock() as knocker: time.sleep(0.05)\n"
        "repr(knocker), repr(knocker.snapshot()), knocker.snapshot().percentile(50)\n"
        "print(*sys.modules)"
    )
    assert not (HEAVY - {"gilknocker._core"}) & set(loaded.split())


def test_import_is_quick() -> None:
    timed = (
        "from time import perf_counter; begin = perf_counter(); import gilknocker;"
        "print(perf_counter() - begin)"
    )
    # Timed inside: what the machine does to the start of a process is not ours.
    assert min(float(run_python(timed)) for _ in range(15)) < 0.005


def test_names() -> None:
    assert set(gilknocker.__all__) <= set(dir(gilknocker))
    for name in gilknocker.__all__:
        assert getattr(gilknocker, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        gilknocker.no_such_name  # noqa: B018


def test_version_is_the_one_installed() -> None:
    assert gilknocker.__version__ == importlib.metadata.version("gilknocker")


def test_typed_and_without_sources() -> None:
    package = Path(gilknocker.__file__).parent
    names = {path.name for path in package.iterdir()}
    assert {"py.typed", "__init__.pyi", "_core.pyi", "_load.pyi"} <= names
    if not (package.parent / "setup.py").exists():  # not built in place
        assert not {path.suffix for path in package.rglob("*")} & {".pyx", ".cpp", ".c", ".hpp"}


OTHERS_SUITE = """
import sys

def test_unused():
    assert "gilknocker._core" not in sys.modules
    assert "numpy" not in sys.modules

def test_used(gil_knocker):
    assert gil_knocker.is_running
    assert "numpy" not in sys.modules

def test_used_again(gil_knocker):
    from gilknocker.testing import hold_gil
    hold_gil(1)  # longer than who looks may have no CPU
    assert gil_knocker.contention_metric > 0.8
"""


@needs_gil_by_default
def test_plugin_in_somebody_elses_suite(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(OTHERS_SUITE)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n"
    )
    run_python(
        "import sys, pytest;"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:randomly']))",
        cwd=tmp_path,
    )


@needs_gil_by_default
def test_plugin_of_a_package_that_is_loaded_already(tmp_path: Path) -> None:
    # As by another plugin, or by a coverage tool: pytest could then not rewrite its asserts, and
    # warns of that where there may be some.
    (tmp_path / "test_theirs.py").write_text(OTHERS_SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    run_python(
        "import sys, pytest, gilknocker, gilknocker.pytest_plugin;"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:randomly']))",
        cwd=tmp_path,
    )


def test_fixture_measures_the_body_only(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        """
import json, pathlib, pytest

@pytest.fixture
def slow_to_set_up(gil_knocker_is_not_asked_yet=None):
    from gilknocker.testing import hold_gil
    hold_gil(1)
    yield

@pytest.fixture
def kept(slow_to_set_up):
    kept = []
    yield kept
    from gilknocker.testing import hold_gil
    hold_gil(1)
    snapshot = kept[0].snapshot()
    seen = [kept[0].is_running, snapshot.observed_seconds]
    pathlib.Path("seen.json").write_text(json.dumps(seen))

def test_body(kept, gil_knocker):
    kept.append(gil_knocker)
"""
    )
    run_python(
        "import sys, pytest;"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:randomly']))",
        cwd=tmp_path,
    )
    is_running, observed = json.loads((tmp_path / "seen.json").read_text())
    assert not is_running
    assert observed < 0.9
