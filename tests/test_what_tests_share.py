"""What holds every test to its word: that it leaves nothing, ends, and has signals of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from bounds import deadline, ordinary_signals
from left import Left
from needs import needs_tracer
from own_threads import our_names
from waiting import wait_until

from gilknocker import GilTracer, KnockKnock


def test_a_thread_is_found() -> None:
    before, go = Left(), threading.Event()
    thread = threading.Thread(target=go.wait, args=(60,), name="forgotten")
    thread.start()
    assert before.more() == {"thread forgotten": 1}
    go.set()
    thread.join(60)
    assert before.more() == {}


def test_a_knocker_is_found() -> None:
    before = Left()
    with KnockKnock():  # the debug build counts its objects besides
        wait_until(lambda: sum(what.startswith("thread gilknock") for what in before.more()) == 2)
    wait_until(lambda: not before.more())


def test_a_knocker_of_a_test_that_failed_is_stopped() -> None:
    before, knocker = Left(), KnockKnock()
    knocker.start()
    before.end_meters()
    assert not knocker.is_running
    wait_until(lambda: not our_names())


@needs_tracer
def test_a_tracer_is_found() -> None:
    before = Left()
    with GilTracer(events=0):
        assert before.more().pop("redirected pointer") > 0
    assert before.more() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does not tell of children")
def test_a_child_is_found_and_ended() -> None:
    before = Left()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        [found] = before.more()
        assert found.startswith("child ")
        before.end_children()
        assert before.more() == {}
        child.returncode = -signal.SIGKILL  # it is gone, and waited for


def test_children_do_not_inherit_what_a_shell_ignores_in_the_background() -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ordinary_signals():
            signal.raise_signal(signal.SIGINT)  # is ignored as before
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
            )
        assert done.stdout == "True\n"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_wait_without_an_end_has_one() -> None:
    with pytest.raises(TimeoutError, match=r"^it did not end within 0\.05 s$"), deadline(0.05):
        threading.Event().wait()
    time.sleep(0.02)  # and nothing comes afterwards
