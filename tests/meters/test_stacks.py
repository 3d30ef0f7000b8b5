"""Stacks read without the GIL, held against what Python itself says of them."""

from __future__ import annotations

import asyncio
import collections
import importlib
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from types import CodeType
from typing import Any

import pytest
from waiting import work_until

from gilknocker import _core

PROBLEM = _core.stack_problem()
needs_stacks = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))

FREE, WHOLE, UNREADABLE, UNNAMED = range(4)
# Frames of 3.10 lie all over the heap and are read one by one, while the thread runs on.
MIXED = 0.01 if sys.version_info < (3, 11) else 0.0
MODULES = ("argparse", "asyncio.base_events", "dataclasses", "inspect", "typing")


def test_a_reason_is_given_where_there_is_a_gil_but_no_stacks() -> None:
    if sys.version_info >= (3, 13) and not sys._is_gil_enabled():
        assert PROBLEM is not None
        assert "free-threaded" in PROBLEM
    elif sys.platform == "linux":
        assert PROBLEM is None


@pytest.mark.skipif(PROBLEM is None, reason="stacks can be read here")
def test_without_stacks_nothing_is_read() -> None:
    with pytest.raises(RuntimeError, match=str(PROBLEM).split()[0]):
        _core.held_stack_series(1, 0)


# ---- names and lines -----------------------------------------------------------------------------


def codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


def codes_of_module(name: str) -> Iterator[CodeType]:
    spec = importlib.import_module(name).__spec__
    assert spec is not None and spec.loader is not None
    code = spec.loader.get_code(name)  # type: ignore[attr-defined]
    yield from codes_of(code)


def lines_of(code: CodeType) -> Iterator[tuple[int, int]]:
    """Each instruction's offset and line, 0 for none."""
    for start, end, line in code.co_lines():
        for instruction in range(start, end, 2):
            yield instruction, line or 0


def name_of(code: CodeType) -> str:
    return code.co_qualname if sys.version_info >= (3, 11) else code.co_name


@needs_stacks
@pytest.mark.parametrize("module", MODULES)
def test_every_instruction_is_named_as_python_names_it(module: str) -> None:
    checked = 0
    for code in codes_of_module(module):
        for instruction, line in lines_of(code):
            expected = (name_of(code), code.co_filename[-512:], line)
            assert _core.frame_name(code, instruction) == expected
            checked += 1
        first = (name_of(code), code.co_filename[-512:], code.co_firstlineno)
        assert _core.frame_name(code, -2) == first
    assert checked > 1_000


def compiled(source: str, name: str) -> CodeType:
    namespace: dict[str, Any] = {}
    exec(compile(source, name, "exec"), namespace)
    [function] = [one for one in namespace.values() if hasattr(one, "__code__")]
    code: CodeType = function.__code__
    return code


@needs_stacks
@pytest.mark.parametrize("file", ["plain.py", "café.py", "Пример.py", "🐍.py", "d" * 600 + ".py"])
@pytest.mark.parametrize("function", ["f", "ä", "функция", "\U000103a0"])
def test_names_in_any_alphabet(file: str, function: str) -> None:
    code = compiled(f"\n\ndef {function}():\n    return 1\n", file)
    named = _core.frame_name(code, len(code.co_code) - 2)
    assert named is not None
    assert named[0] == name_of(code)
    assert file.endswith(named[1]) and len(named[1]) >= min(len(file), 100)
    assert named[2] == 4


@needs_stacks
def test_a_replaced_code_object_is_itself() -> None:
    code = compiled("def f():\n    return 1\n", "old.py").replace(
        co_name="other", co_filename="new.py", co_firstlineno=100
    )
    assert _core.frame_name(code, -2) == (name_of(code), "new.py", 100)


@needs_stacks
def test_what_is_no_code_object_has_no_name() -> None:
    assert _core.frame_name("text", 0) is None
    assert _core.frame_name(compiled, 0) is None
    if sys.version_info >= (3, 11):  # before, a code object does not say how long it is
        assert _core.frame_name(compiled.__code__, 1_000_000) is None


@needs_stacks
def test_a_table_of_many_lines() -> None:
    count = 30_000
    code = compiled("def f():\n" + "    print(\n1)\n" * count, "long.py")
    lines = dict(lines_of(code))
    for instruction in list(lines)[:: len(lines) // 50]:
        assert _core.frame_name(code, instruction) == (name_of(code), "long.py", lines[instruction])


# ---- the caller's own stack, frame by frame ------------------------------------------------------


def deeper(depth: int, act: Callable[[], str]) -> str:
    return act() if depth == 0 else deeper(depth - 1, act)


class Made:
    def __init__(self) -> None:
        self.seen = _core.stack_difference()


class Descriptor:
    def __get__(self, owner: object, kind: object = None) -> str:
        return _core.stack_difference()


class Owner:
    seen = Descriptor()

    def __call__(self) -> str:
        return _core.stack_difference()

    def __len__(self) -> int:
        assert _core.stack_difference() == ""
        return 1


def generated() -> Generator[str, None, None]:
    yield _core.stack_difference()
    yield from (_core.stack_difference() for _ in range(2))


async def awaited() -> str:
    await asyncio.sleep(0)

    async def inner() -> str:
        return _core.stack_difference()

    return await inner()


def by_c_code() -> str:
    seen = [_core.stack_difference()]
    sorted([1, 2, 3], key=lambda _: seen.append(_core.stack_difference()) or 0)
    list(map(lambda _: seen.append(deeper(5, _core.stack_difference)), "ab"))
    return "".join(seen)


def with_a_trace_function() -> str:
    seen: list[str] = []

    def trace(*_: object) -> None:
        sys.settrace(None)
        seen.append(_core.stack_difference())

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        deeper(0, lambda: "")
    finally:
        sys.settrace(before)
    return "".join(seen)


class Raising:
    def __enter__(self) -> Raising:
        return self

    def __exit__(self, *_: object) -> bool:
        self.seen = _core.stack_difference()
        return True


def while_it_unwinds() -> str:
    with Raising() as raising:
        raise ValueError
    return raising.seen


def evaluated() -> str:
    namespace: dict[str, Any] = {"ask": _core.stack_difference}
    exec("class Body:\n    seen = ask()\nseen = Body.seen + eval('ask()')", namespace)
    seen: str = namespace["seen"]
    return seen


STACKS: dict[str, Callable[[], str]] = {
    "plain": _core.stack_difference,
    "recursion": lambda: deeper(500, _core.stack_difference),
    "class": lambda: Made().seen,
    "descriptor": lambda: Owner().seen,
    "call": lambda: Owner()(),
    "len": lambda: "" if len(Owner()) else "?",
    "generators": lambda: "".join(generated()),
    "coroutines": lambda: asyncio.run(awaited()),
    "C code": by_c_code,
    "tracing": with_a_trace_function,
    "unwinding": while_it_unwinds,
    "exec": evaluated,
    "comprehension": lambda: "".join([_core.stack_difference() for _ in range(2)]),
}


@needs_stacks
@pytest.mark.parametrize("kind", STACKS)
def test_the_caller_s_own_stack_reads_as_python_tells_it(kind: str) -> None:
    assert STACKS[kind]() == ""


@needs_stacks
def test_a_stack_in_a_thread_of_its_own() -> None:
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(STACKS["generators"]()))
    thread.start()
    thread.join()
    assert seen == [""]


@needs_stacks
def test_a_recursion_of_a_thousand_frames() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(5_000)
    try:
        assert deeper(1_500, _core.stack_difference) == ""
    finally:
        sys.setrecursionlimit(before)


@needs_stacks
def test_greenlets() -> None:
    greenlet = pytest.importorskip("greenlet")
    seen: list[str] = []

    def inner() -> None:
        seen.append(deeper(20, _core.stack_difference))
        main.switch()
        seen.append(deeper(3, _core.stack_difference))

    main = greenlet.getcurrent()
    one, two = greenlet.greenlet(inner), greenlet.greenlet(inner)
    one.switch()
    deeper(7, lambda: two.switch() or "")
    seen.append(_core.stack_difference())
    one.switch()
    two.switch()
    assert seen == [""] * 5


# ---- the holder's, while it runs -----------------------------------------------------------------


def roots() -> set[str]:
    """The functions at the bottom of this thread's stack, and of any other of Python's."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    bootstrap: Any = threading.Thread._bootstrap  # type: ignore[attr-defined]
    return {name_of(frame.f_code), name_of(bootstrap.__code__)}


def while_it_runs(work: Callable[[], object], looks: int = 1_000) -> list[Any]:
    """Look at whoever holds the GIL, each 0.3 ms, while a thread does `work` over and over.

    Again while few looks find anybody: the thread may have no CPU to take the GIL.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            work()

    thread = threading.Thread(target=run)
    thread.start()
    found: list[Any] = []
    try:
        work_until(
            lambda: sum(outcome != FREE for outcome, _, _ in found) > looks / 2,
            lambda: found.extend(_core.held_stack_series(looks, 300_000)),
        )
        return found
    finally:
        ended.set()
        thread.join()


def count_up() -> int:
    total = 0
    for number in range(20_000):
        total += number
    return total


def small(number: int) -> int:
    return number + 1


def call_often() -> None:
    for number in range(5_000):
        small(small(number))


def generate() -> int:
    return sum(number for number in range(10_000))


def fall_deep() -> None:
    deeper(200, lambda: str(count_up()))


def run_new_code() -> None:
    exec(
        compile("def f(n):\n    return sum(range(n))\nfor i in range(99): f(i)\n", "new.py", "exec")
    )


@needs_stacks
@pytest.mark.parametrize("work", [count_up, call_often, generate, fall_deep, run_new_code])
def test_a_running_thread_s_stack_is_whole_and_begins_with_what_runs(
    work: Callable[[], object],
) -> None:
    looks = while_it_runs(work)
    outcomes = collections.Counter(outcome for outcome, _, _ in looks)
    held = len(looks) - outcomes[FREE]
    assert outcomes[UNREADABLE] <= 0.01 * held
    # Code that is freed at once may be gone before its name is read: there, it is not known.
    assert outcomes[UNNAMED] <= 0.02 * held
    assert held > 100
    ours = [
        [function.rpartition(".")[2] for function, file, _ in frames if file == __file__]
        for outcome, _, frames in looks
        if outcome == WHOLE
    ]
    # Each goes down to where its thread began: also that of a generator that yields meanwhile.
    bottoms = collections.Counter(frames[0][0] for outcome, _, frames in looks if outcome == WHOLE)
    cut = sum(count for function, count in bottoms.items() if function not in roots())
    assert cut <= MIXED * held
    # The loop around it is seen too, and the main thread when it takes the GIL back.
    inside = [names for names in ours if work.__name__ in names]
    assert len(inside) >= 0.9 * held
    below = {"small", "<genexpr>", "deeper", "<lambda>", "count_up"}
    right = [
        names
        for names in inside
        if names[:2] == ["run", work.__name__] and len(names) <= 205 and below.issuperset(names[2:])
    ]
    assert len(right) >= (1 - MIXED) * len(inside)


@needs_stacks
def test_lines_of_a_running_loop_are_those_of_the_loop() -> None:
    looks = while_it_runs(count_up)
    first = count_up.__code__.co_firstlineno
    lines = collections.Counter(
        frames[-1][2] - first
        for outcome, _, frames in looks
        if outcome == WHOLE and frames[-1][0] == "count_up"
    )
    assert set(lines) <= {0, 1, 2, 3, 4}
    assert lines[2] + lines[3] > 0.98 * sum(lines.values())
