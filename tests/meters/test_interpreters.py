"""More than one interpreter in a process, at once or one after the other: ours is for one only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gilknocker import _core

TORTURE = Path(__file__).parents[1] / "torture"

# `module`, and create(own_gil)
PRELUDE = """
import sys
try:
    import _interpreters as module
except ImportError:
    import _xxsubinterpreters as module

def create(own_gil):
    if sys.version_info >= (3, 13):
        return module.create("isolated" if own_gil else "legacy")
    return module.create(isolated=own_gil)

def said(program, own_gil):
    import os
    read, write = os.pipe()
    one = create(own_gil)
    text = f"import os\\ntry:\\n    {program}\\n    said = 'imported'\\n"
    text += "except ImportError as error:\\n    said = str(error)\\n"
    text += f"os.write({write}, said.encode())"
    failed = module.run_string(one, text)
    assert not failed, failed
    module.destroy(one)
    return os.read(read, 1000).decode()
"""
OWN_GIL = [
    False,
    pytest.param(
        True, marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="no own GIL before 3.12")
    ),
]


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("own_gil", OWN_GIL, ids=lambda own: "own GIL" if own else "shared")
def test_a_sub_interpreter_is_refused_and_the_main_one_goes_on(own_gil: bool, first: bool) -> None:
    run(
        f"""
def refused():
    for name in "KnockKnock", "GilTracer":
        words = said(f"from gilknocker import {{name}}", {own_gil})
        assert "interpreter" in words, words
        if not {own_gil}:
            assert words.startswith("gilknocker measures the main interpreter's GIL"), words
if {first}:
    refused()
import time
from gilknocker import KnockKnock
with KnockKnock(50, method="look") as knocker:
    refused()
    seen = knocker.snapshot().ticks
    deadline = time.monotonic() + 20
    while knocker.snapshot().ticks == seen and time.monotonic() < deadline:
        time.sleep(0.001)
assert knocker.snapshot().ticks > seen
"""
    )


def test_a_second_import_in_the_same_interpreter() -> None:
    run(
        """
import gilknocker._core as core
del sys.modules["gilknocker._core"]
import gilknocker._core as again
assert again is core
"""
    )


def test_an_interpreter_that_ends_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TORTURE)
    import embedding

    if embedding.missing():
        pytest.skip(embedding.missing())
    done = embedding.run(100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(_core.stack_problem() is not None, reason=str(_core.stack_problem()))
def test_new_code_of_a_sub_interpreter_has_its_own_names() -> None:
    program = f"import sys; sys.path.insert(0, {str(TORTURE.parent)!r})\nimport new_code\n"
    program += "for n in range(10, 50): new_code.compute_in_new_code(f'f{n}')"
    run(
        f"""
sys.path.insert(0, {str(TORTURE.parent)!r})
from new_code import names
from gilknocker import KnockKnock
one = create(False)
with KnockKnock(stacks=True, method="look") as knocker:
    failed = module.run_string(one, {program!r})
    stacks = knocker.snapshot().stacks
assert not failed, failed
module.destroy(one)
seen = names(stacks)
assert len(seen) >= 32, seen
"""
    )
