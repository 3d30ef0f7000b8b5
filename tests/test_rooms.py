"""The rooms of the package: who may import whom, and that nothing 1.0 gave away is lost."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

import gilknocker

PACKAGE = Path(gilknocker.__file__).parent
TESTS = Path(__file__).parent

# Each room may import those before it, and itself. Files beside the rooms are either what every
# room may use, or what stands in front of them all.
ROOMS = ("snapshot", "meters", "reports", "commands", "integrations")
BELOW = ("_core", "_outside", "_load", "_checks", "_durations", "_files", "_units")
NEIGHBOURS = {"commands": "integrations", "integrations": "commands"}  # side by side: neither
# The one import upwards that is meant: a snapshot shows itself.
UP = ("snapshot/views.py", "reports")


def imports(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
            if node.module == "gilknocker":
                names = [f"gilknocker.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name for name in names if name.partition(".")[0] == "gilknocker"}
    return found


def home(name: str) -> str:
    """Return the room of a module, or of what the package itself gives away."""
    first = name.split(".")[1]
    if first in gilknocker.__all__ and not first.startswith("__"):
        return getattr(gilknocker, first).__module__.split(".")[1]
    return first


def wrong_way(room: str, file: str, modules: set[str]) -> list[str]:
    lower = {*BELOW, "__version__", *ROOMS[: ROOMS.index(room) + 1]} - {NEIGHBOURS.get(room, "")}
    return [
        name for name in sorted(modules) if home(name) not in lower and (file, home(name)) != UP
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files
    wrong = {}
    for path in files:
        file = path.relative_to(PACKAGE).as_posix()
        if names := wrong_way(room, file, imports(path)):
            wrong[file] = names
    assert wrong == {}


def test_the_door_is_used() -> None:
    assert {home(name) for name in imports(PACKAGE / UP[0])} == {UP[1]}


def test_an_import_the_wrong_way_is_found() -> None:
    assert wrong_way("snapshot", "snapshot/fields.py", {"gilknocker.KnockKnock"})
    assert wrong_way("meters", "meters/x.py", {"gilknocker.reports.words"})
    assert wrong_way("commands", "commands/x.py", {"gilknocker.integrations.ipython"})


@pytest.mark.parametrize("name", ["_checks", "_durations", "_files", "_units"])
def test_what_every_room_uses_knows_of_none(name: str) -> None:
    assert all(home(module) in BELOW for module in imports(PACKAGE / f"{name}.py"))


def test_pickles_of_1_0() -> None:
    kept = pickle.loads((TESTS / "data" / "pickles_of_1_0.pickle").read_bytes())
    assert set(kept) == {"snapshot", "raw", "histogram", "holders", "trace", "threads", "merge"}
    # What a ThreadTimes of 1.0 did not have.
    newer = ", wanted_releases=0, retakes=0, passed_over=0, passed_over_ns=0)"
    for value, text in kept.values():
        assert str(value).replace(newer, ")") == text.replace(" us", " µs")
        assert pickle.loads(pickle.dumps(value)) == value
    snapshot, _ = kept["raw"]
    assert type(snapshot) is gilknocker.Snapshot
    assert len(snapshot.wait_times) + snapshot.waits_dropped == snapshot.knocks


def test_what_1_0_let_people_import() -> None:
    from gilknocker.plotting import overlay
    from gilknocker.reports import plotting
    from gilknocker.snapshot import Snapshot

    assert overlay is plotting.overlay and Snapshot is gilknocker.Snapshot
