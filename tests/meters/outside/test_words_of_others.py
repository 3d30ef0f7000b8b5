"""What another process calls its threads, and says: in a terminal it is text and nothing else."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from needs import needs_gil
from runs import command, python
from watched import running, watch

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker.commands import top
from gilknocker.commands.attach import _relay
from gilknocker.commands.outside import _dump_lines
from gilknocker.commands.top import Screen
from gilknocker.meters.outside.attachment import Attachment
from gilknocker.meters.outside.target import Target
from gilknocker.meters.outside.watch import OutsideMeter

pytestmark = [needs_gil]

# As a thread's name is set on 3.14 and newer; 15 bytes are kept of it.
NAMED = """
import threading
def spin():
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "wb") as file:
        file.write("na\\x1b[31mme\\u202e".encode())
    print("ready", flush=True)
    while True:
        pass
thread = threading.Thread(target=spin, daemon=True)
thread.start()
thread.join()
"""


def are_words(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


needs_names = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="nobody knows which of the system's threads is which"
)


@needs_names
@pytest.mark.parametrize("words", [["dump"], ["record", "--seconds", "0.3"]])
def test_a_thread_s_name_is_cleaned(words: list[str]) -> None:
    with running(NAMED, "spin") as process:
        got = command(*words, str(process.pid))
    assert got.returncode == 0, got.stderr
    assert "na [31mme" in got.stdout and are_words(got.stdout)


@needs_names
def test_a_thread_s_name_is_cleaned_in_top() -> None:
    with running(NAMED, "spin") as process:
        meter = OutsideMeter(Target(process.pid))
        screen = Screen(meter, "", False)
        watch(meter, 0.2)
        screen.next_second()
    lines = "\n".join(screen.lines())
    assert "by na [31mme" in lines and are_words(lines)


SPELT = """
def spin_ü():
    print("ready", flush=True)
    while True:
        pass
spin_ü()
"""


def test_letters_that_the_output_lacks_are_escaped() -> None:
    with running(SPELT, "spin") as process:
        dump = ["-m", "gilknocker", "dump", str(process.pid)]
        got = python(*dump, env={"PYTHONIOENCODING": "ascii"})
    assert (got.returncode, got.stderr) == (0, "")
    assert "\n    spin_\\xfc (<string>:" in got.stdout


def test_letters_that_the_output_lacks_are_escaped_in_top(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "ascii"))
    ended: Any = SimpleNamespace(read=dict, is_over=lambda: True)
    assert top.watch(ended, "spin_ü")
    assert shown.getvalue() == b"spin_\\xfc\n"


def test_what_it_says_of_stalls_is_cleaned() -> None:
    said: list[str] = []
    stderr: Any = SimpleNamespace(write=said.append)
    _relay(b"a\x1b[2J\n  b \xff\n", stderr)
    assert said == ["a [2J\n  b \\xff\n"]


def test_what_it_says_went_wrong_is_cleaned() -> None:
    attachment = Attachment.__new__(Attachment)
    attachment._target = SimpleNamespace(process=SimpleNamespace(pid=7))  # type: ignore[assignment]
    said = attachment._problem("RuntimeError: \x1b]0;x\x07")
    assert said == "process 7 cannot measure itself: RuntimeError:  ]0;x "


def test_a_thread_without_a_number_has_its_serial() -> None:
    """Python 3.10 does not say which number its threads have to the system."""
    thread = {"native_id": 0, "serial": 2, "name": "", "holds": True, "frames": []}
    state = {"pid": 1, "python": "3.10", "program": [], "held_for_ns": 5, "stopped": False}
    assert _dump_lines({**state, "threads": [thread]})[2] == "thread 2: holds the GIL"
