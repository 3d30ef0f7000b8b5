"""Exits with a running knocker: always the status that was asked for, and not a word on stderr.

Each program runs many times, each time with another seed, which decides how long it measures: so
the interpreter ends while our threads are now here, now there.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

EXITS = 216  # of all programs together
SECONDS = 300  # that one may take: it takes 0.1

# Looks and knocks as dense as can be, so that the end meets them at work.
PREAMBLE = """
import atexit
handlers = []
atexit.register(lambda: [handler() for handler in handlers])  # before ours, so called after it
import os, random, signal, sys, threading, time
from gilknocker import KnockKnock
from gilknocker._load import hold_gil, release_gil

numbers = random.Random(int(sys.argv[1]))

def run_some(count=1):
    knockers = [KnockKnock(50, knock_interval_micros=50) for _ in range(count)]
    for knocker in knockers:
        knocker.start()
    return knockers

def wait():
    time.sleep(numbers.choice([0, 0.001, 0.02]) * numbers.random())

def daemon(function):
    threading.Thread(target=function, daemon=True).start()

def daemon_while_going(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    if sys.version_info < (3, 11):
        handlers.append(lambda: (going.clear(), thread.join()))

# Until the very end; on CPython 3.10 until our exit handler is over, for there one that waits for
# the GIL at the end may crash the interpreter, without us too: take_gil() uses it when it is gone.
going = [True]
"""


class Program(NamedTuple):
    text: str
    status: int = 0
    last_words: str = ""  # on stderr


PROGRAMS = {
    "falls off the end": Program("kept = run_some(); wait()"),
    "drops it first": Program("run_some(); wait()"),
    "keeps several": Program("kept = run_some(5); wait()"),
    "keeps it in a cycle": Program("kept = run_some(); kept.append(kept); wait()"),
    "sys.exit": Program("kept = run_some(); wait(); sys.exit(7)", 7),
    "sys.exit in the block": Program(
        """
        with KnockKnock(50, knock_interval_micros=50):
            wait()
            sys.exit(7)
        """,
        7,
    ),
    "uncaught exception": Program(
        "kept = run_some(); wait(); raise ValueError('on purpose')", 1, "ValueError: on purpose\n"
    ),
    "os._exit": Program("kept = run_some(); wait(); os._exit(7)", 7),
    "SIGTERM": Program(
        "kept = run_some(); wait(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        -signal.SIGTERM,
    ),
    "SIGINT while it starts and stops": Program(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        knocker = KnockKnock(50, knock_interval_micros=50)
        with knocker:
            pass  # the first start imports: interrupted, Python leaves a file to the collector
        try:
            daemon(lambda: (wait(), os.kill(os.getpid(), signal.SIGINT)))
            while True:
                knocker.start()
                knocker.stop()
        except KeyboardInterrupt:
            sys.exit(7)
        """,
        7,
    ),
    "daemons in Python": Program(
        """
        def spin():
            while going:
                pass
        kept = run_some(2)
        daemon_while_going(spin), daemon_while_going(spin)
        wait()
        """
    ),
    "daemon that keeps the GIL": Program(
        """
        def hold():
            while going:
                hold_gil(numbers.random() / 50)
        kept = run_some(2)
        daemon_while_going(hold)
        wait()
        """
    ),
    "daemons that keep the GIL until no knock is waited for": Program(
        """
        from gilknocker.meters import lifecycle
        lifecycle.EXIT_TIMEOUT_NS = 1_000_000
        def hold():
            while going:
                hold_gil(0.01)
        def end():  # after our exit handler, on any Python
            going.clear()
            for thread in threads:
                thread.join()
        handlers.append(end)
        kept = run_some(2)
        going = [True]
        threads = [threading.Thread(target=hold, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait()
        """
    ),
    "daemon that keeps the GIL once while knockers are waited for": Program(
        """
        from gilknocker.meters import lifecycle
        from gilknocker._load import Load
        lifecycle.EXIT_TIMEOUT_NS = 1_000_000
        kept = run_some(2)
        load = Load(hold_ns=30_000_000, free_ns=10**13)  # it never asks a second time
        go = threading.Lock()
        go.acquire()
        daemon(lambda: (go.acquire(), load.run()))
        atexit.register(go.release)  # called before ours
        wait()
        """
    ),
    "daemons that use knockers": Program(
        """
        def use(knockers):
            try:
                while True:
                    for knocker in knockers or run_some():
                        knocker.start()
                        knocker.snapshot(waits=True)
                        knocker.reset_contention_metric()
                        knocker.stop()
            except RuntimeError:  # the interpreter is exiting
                pass
        kept = run_some(2)
        for knockers in (kept, kept, ()):
            daemon(lambda knockers=knockers: use(knockers))
        wait()
        """
    ),
    "thread that is waited for": Program(
        """
        kept = run_some()
        threading.Thread(target=lambda: (wait(), release_gil(0.003), kept[0].stop())).start()
        """
    ),
    "exit handlers": Program(
        """
        def late():
            assert [knocker.is_running for knocker in kept] == [False, False]
            kept[0].stop(), kept[0].snapshot(), kept[0].contention_metric
            try:
                kept[0].start()
            except RuntimeError:
                return
            os._exit(1)
        def early():
            assert kept[0].is_running
            kept[0].stop(), kept[0].start()
            kept.extend(run_some())
        handlers.append(late)
        atexit.register(early)
        kept = run_some()
        wait()
        """
    ),
    "finalizer in the dying interpreter": Program(
        """
        class Late:
            def __init__(self):
                self.knocker, = run_some()
            def __del__(self):
                self.knocker.stop()
                if self.knocker.is_running:
                    os._exit(1)
        late = Late()
        late.itself = late
        wait()
        """
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_exits(name: str) -> None:
    program = PROGRAMS[name]
    text = PREAMBLE + textwrap.dedent(program.text)

    def run(seed: int) -> None:
        done = subprocess.run(
            [sys.executable, "-I", "-X", "faulthandler", "-W", "error", "-c", text, str(seed)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (done.returncode, done.stdout) == (program.status, ""), (seed, done.stderr)
        if program.last_words:
            assert done.stderr.startswith("Traceback"), seed
            assert done.stderr.endswith(program.last_words), (seed, done.stderr)
            assert done.stderr.count("\n") < 6, (seed, done.stderr)
        else:
            assert done.stderr == "", seed

    with ThreadPoolExecutor(2) as pool:
        exits = len(list(pool.map(run, range(EXITS // len(PROGRAMS)))))
    print(f"{exits} exits")
    assert exits * len(PROGRAMS) >= 200
