"""Stacks read each 50 µs of a program that leaves no stack, and no code object, as it was."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from registry import fault
from subject import FORKS, SECONDS, in_child, in_threads, is_ours, kept, numbers


def _missing() -> str:
    if not is_ours():
        return ""
    from gilknocker import _core

    return _core.stack_problem() or ""


def _recurse(depth: int) -> int:
    return 1 + _recurse(depth - 1) if depth else sum(range(50))


def _run_new_code() -> None:
    name = f"f{numbers.randrange(10)}" * numbers.randrange(1, 40)
    source = f"def {name}(n):\n" + "    n += 1\n" * numbers.randrange(1, 50) + "    return n\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, f"{'d' * numbers.randrange(700)}.py", "exec"), namespace)
    for _ in range(numbers.randrange(20)):
        namespace[name](0)


def _raise(depth: int) -> None:
    try:
        if depth:
            _raise(depth - 1)
        raise ValueError
    except ValueError:
        if depth % 3:
            raise


def _raise_and_catch() -> None:
    with suppress(ValueError):
        _raise(numbers.randrange(30))


def _generate() -> None:
    def numbers_of(depth: int) -> Iterator[int]:
        if depth:
            yield from numbers_of(depth - 1)
        yield depth

    left = [numbers_of(numbers.randrange(20)) for _ in range(5)]
    for one in left:
        next(one)  # the rest of it is dropped, half done


async def _wait(depth: int) -> None:
    if depth:
        await _wait(depth - 1)
    await asyncio.sleep(0)


def _await() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_wait(10))
    loop.close()


class _Cycle:
    def __init__(self) -> None:
        self.code = compile(f"x = {numbers.random()}", "cycle", "exec")
        self.me = self

    def __del__(self) -> None:
        _recurse(5)


def _collect() -> None:
    for _ in range(20):
        _Cycle()
    gc.collect()


def _start_threads() -> None:
    threads = [threading.Thread(target=_recurse, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


ACTS: list[Callable[[], object]] = [
    _run_new_code,
    _raise_and_catch,
    _generate,
    _await,
    _collect,
    _start_threads,
    lambda: _recurse(numbers.randrange(900)),
    lambda: sorted(range(50), key=lambda k: _recurse(k % 7)),
]


@fault(
    "stacks of a program that recurses, raises, ends threads and frees its code",
    only_ours=True,
    missing=_missing,
)
def stacks_read() -> None:
    from gilknocker import KnockKnock

    warnings.simplefilter("ignore", DeprecationWarning)  # of forks: it has threads of its own
    sys.setswitchinterval(numbers.choice([1e-5, 1e-3]))
    knocker = KnockKnock(50, knock_interval_micros=1_000, stacks=True)
    knocker.start()
    kept.append(knocker)
    end = time.monotonic() + SECONDS

    def act() -> None:
        while time.monotonic() < end:
            numbers.choice(ACTS)()

    def check() -> None:
        while time.monotonic() < end:
            snapshot = knocker.snapshot()
            for stack in snapshot.stacks:
                assert stack.held_seconds >= 0
                for frame in stack.frames:
                    assert frame.line >= 0 and frame.function
            if numbers.random() < 0.2:
                knocker.reset_contention_metric()
            time.sleep(0.01)

    def child() -> None:
        with KnockKnock(50, stacks=True) as mine:
            _recurse(100)
            assert mine.snapshot().pid == os.getpid()

    def use() -> None:
        kind = numbers.random()
        if kind < 0.2:
            check()
        elif kind < 0.3 and FORKS:  # a child may get the lock of AddressSanitizer's allocator
            while time.monotonic() < end:
                in_child(child, orderly=False)
        else:
            act()

    in_threads(use, 4)
    check()
    if numbers.random() < 0.5:
        knocker.stop()
