"""The magic `%gil`, in an IPython shell of its own for each test."""

from __future__ import annotations

import os
import re
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("IPython", reason="needs the extra [notebook]")

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from needs import needs_gil, needs_tracer
from stories import MS, tell

import gilknocker
from gilknocker import Snapshot, _core
from gilknocker.integrations import ipython
from gilknocker.integrations.ipython import measurement, parse

needs_stacks = pytest.mark.skipif(_core.stack_problem() is not None, reason="no stacks here")

AWAITS = "import asyncio\nvalue = await asyncio.sleep(0.02, 7)\nvalue + 1"


class Outcome(SimpleNamespace):
    """What a cell did: its value, its error, what it printed, what it displayed."""

    number: int
    value: Any
    error: BaseException | None
    text: str
    shown: list[dict[str, Any]]


def run(shell: InteractiveShell, cell: str) -> Outcome:
    with capture_output() as captured:
        result = shell.run_cell(cell, store_history=True)
    return Outcome(
        number=result.execution_count,
        value=result.result,
        error=result.error_before_exec or result.error_in_exec,
        text=re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout + captured.stderr),
        shown=[output.data for output in captured.outputs if "text/html" in output.data],
        pictures=[o.data["image/png"] for o in captured.outputs if "image/png" in o.data],
    )


def the_card(outcome: Outcome) -> str:
    (bundle,) = outcome.shown
    assert bundle["text/plain"].startswith("gilknocker: ")
    assert bundle["text/html"].startswith('<div class="gilknocker" ')
    return str(bundle["text/html"])


def test_cell(shell: InteractiveShell) -> None:
    got = run(shell, "%%gil -o kept\n\nimport time\ntime.sleep(0.05)\nx = 3\nx + 1")
    assert got.error is None and got.value == 4
    assert "GIL held" in the_card(got)
    kept = shell.user_ns["kept"]
    assert isinstance(kept, Snapshot) and kept.observed_ns >= 50_000_000
    assert len(kept.wait_times) == kept.knocks
    assert shell.user_ns["x"] == 3 and shell.user_ns["_"] == 4


def test_line(shell: InteractiveShell) -> None:
    run(shell, "x = 1")
    got = run(shell, "y = %gil -o kept  'a  b' + '{x}'\n%gil z = 5")
    assert got.error is None and len(got.shown) == 2
    assert shell.user_ns["y"] == "a  b{x}" and shell.user_ns["z"] == 5
    assert isinstance(shell.user_ns["kept"], Snapshot)


BUSY = """%%gil -i 500 -o kept
import time

def burn(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(300))

burn(1.5)"""


@needs_gil
@needs_stacks
def test_the_lines_that_cost_most(shell: InteractiveShell) -> None:
    got = run(shell, BUSY)
    [shown] = got.shown
    [line] = re.findall(r"by line +([\d.]+) % (.*)", shown["text/plain"])
    assert float(line[0]) > 30
    assert re.match(rf"In\[{got.number}\]:[67] burn", line[1])
    assert "Lines that held it" in shown["text/html"]
    assert f"In[{got.number}]:" in shown["text/html"]
    kept = shell.user_ns["kept"]
    assert all(frame.file != f"In[{got.number}]" for one in kept.stacks for frame in one.frames)


def test_why_there_are_no_lines(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "stack_problem", lambda: "no stacks on this day.")
    [shown] = run(shell, "%%gil\n1").shown
    for kind in ("text/html", "text/plain"):
        words = re.sub(r"\s+", " ", shown[kind])
        assert "Note: which lines held the GIL cannot be said: no stacks on this day." in words
        assert "by line" not in words and "Lines that held it" not in words


def test_semicolon_keeps_the_value_back(shell: InteractiveShell) -> None:
    for cell in (
        "%gil 1 + 1;",
        "%%gil\n1 + 1;",
        "%%gil\nimport asyncio\nawait asyncio.sleep(0, 1);",
    ):
        got = run(shell, cell)
        assert got.error is None and got.value is None and the_card(got)


def test_magics_and_shell_lines_within(shell: InteractiveShell) -> None:
    got = run(shell, "%%gil\nhere = %pwd\nlines = !echo a\n(here, list(lines))")
    assert got.value == (os.getcwd(), ["a"])


@pytest.mark.parametrize("cell", [f"%%gil\n{AWAITS}", f"%%gil -o kept --\n\n{AWAITS}"])
def test_await_in_a_cell(shell: InteractiveShell, cell: str) -> None:
    got = run(shell, cell)
    assert got.error is None and got.value == 8 and shell.user_ns["value"] == 7
    assert the_card(got)


def test_await_in_lines(shell: InteractiveShell) -> None:
    got = run(
        shell,
        "import asyncio\nfor é in range(2):\n    x = %gil await asyncio.sleep(0, é)\n"
        "    %gil -o kept y = await asyncio.sleep(0, é)\nx, y",
    )
    assert got.error is None and got.value == (1, 1) and len(got.shown) == 4


def test_in_functions(shell: InteractiveShell) -> None:
    got = run(shell, "def f(a):\n    b = %gil a + 1\n    return b\nf(1)")
    assert got.error is None and got.value == 2
    got = run(
        shell,
        "import asyncio\nasync def f(a):\n    b = %gil await asyncio.sleep(0, a)\n    return b\n"
        "await f(1)",
    )
    assert got.error is None and got.value == 1
    for head in ("def f():", "class A:"):
        got = run(shell, f"{head}\n    %gil x = await g()")
        assert isinstance(got.error, SyntaxError)
        assert "%gil with 'await' outside async function" in got.text


def test_await_where_the_shell_does_not(shell: InteractiveShell) -> None:
    shell.autoawait = False
    try:
        got = run(shell, "%%gil\nawait x")
    finally:
        shell.autoawait = True
    assert isinstance(got.error, SyntaxError) and "get_ipython" not in got.text


@pytest.mark.parametrize(
    ("cell", "last_line", "lines"),
    [
        ("%%gil\n\ndef f():\n    1 / 0\nf()", "ZeroDivisionError: division by zero", {5, 4}),
        ("%%gil\nasync def f():\n    {}['a']\nawait f()", "KeyError: 'a'", {4, 3}),
        ("%gil int('x')", "ValueError: invalid literal for int() with base 10: 'x'", {1}),
    ],
)
def test_exceptions_pass(
    shell: InteractiveShell, cell: str, last_line: str, lines: set[int]
) -> None:
    got = run(shell, cell)
    assert the_card(got)
    assert got.text.rstrip().endswith(last_line)
    assert type(got.error).__name__ == last_line.partition(":")[0]
    places = re.findall(r"In\[(\d+)\], line (\d+)", got.text)
    assert {int(line) for _, line in places} == lines
    assert {int(cell) for cell, _ in places} == {got.number}
    for ours in ("gilknocker", "magic", "interactiveshell"):
        assert ours not in got.text


def test_an_exception_raised_again_is_as_any_other(shell: InteractiveShell) -> None:
    run(shell, "kept = ValueError('kept')")
    assert "line 2" in run(shell, "%%gil\nraise kept").text
    again = run(shell, "\n\n\n\nraise kept")
    assert "----> 5 raise kept" in again.text or "----> 1 raise kept" in again.text


def test_exceptions_that_take_no_attribute_or_render_themselves(shell: InteractiveShell) -> None:
    run(
        shell,
        "class A(Exception):\n    __setattr__ = None\n"
        "class B(Exception):\n    def _render_traceback_(self): return ['by itself']",
    )
    assert "A" in run(shell, "%%gil\nraise A").text
    assert run(shell, "%%gil\nraise B").text.rstrip().endswith("by itself")


def test_interrupts_and_exits_pass(shell: InteractiveShell) -> None:
    for name in ("KeyboardInterrupt", "SystemExit"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("IPython.core.interactiveshell.warn", lambda *a, **k: None)
            got = run(shell, f"%%gil\nraise {name}")
        assert type(got.error).__name__ == name and the_card(got)


def test_syntax_errors_name_their_line_and_measure_nothing(shell: InteractiveShell) -> None:
    for cell, line in (("%%gil\n\nx = = 1", 3), ("%gil x = = 1", 1)):
        got = run(shell, cell)
        assert isinstance(got.error, SyntaxError) and got.shown == []
        assert f"In[{got.number}], line {line}" in got.text
        for ours in ("gilknocker", "magic"):
            assert ours not in got.text.replace(cell, "")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%gil", "%gil needs a statement: %gil [-i"),
        ("%gil -o x", "%gil needs a statement"),
        ("%gil -x 1", "%gil has no option -x: %gil [-i"),
        ("%%gil --fast\n1", "%gil has no option --fast: %%gil [-i"),
        ("%%gil x = 1\n1", "%%gil takes no code on its first line, not 'x = 1'"),
        ("%gil -i x 1", "-i must be a whole number of microseconds, at least 1, not 'x'"),
        ("%gil -i 0 1", "not '0'"),
        ("%gil -i 1_0 1", "not '1_0'"),
        ("%%gil -i\n1", "not ''"),
        (f"%gil -i {10**17} 1", "-i: "),
        (f"%gil -i {'9' * 5000} 1", "-i must be"),
        ("%%gil -o\n1", "-o must be the name of a variable, not ''"),
        ("%%gil -o a.b\n1", "not 'a.b'"),
        ("%%gil -o class\n1", "not 'class'"),
    ],
)
def test_usage_errors(shell: InteractiveShell, cell: str, message: str) -> None:
    got = run(shell, cell)
    assert isinstance(got.error, UsageError) and got.shown == []
    assert f"UsageError: {got.error}" in got.text and message in got.text
    assert "Traceback" not in got.text


def test_options_are_taken() -> None:
    options, rest = parse("-i 50 --plot -o name  --  -x  + 'a  b'", is_cell=False)
    assert (options.interval_micros, options.plot, options.name) == (50, True, "name")
    assert not options.trace and rest == "-x  + 'a  b'"


def test_interval(shell: InteractiveShell) -> None:
    run(shell, "%%gil -i 500 -o kept\n0")
    assert shell.user_ns["kept"].interval_ns == 500_000


class FakeTracer:
    def __init__(self, **_: Any) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def snapshot(self, waits: bool = False) -> Snapshot:
        assert waits and self.calls == ["start", "stop"]
        return tell(["held"], [MS] * 20, raw=True, method="trace")


class Unsupported(Exception):
    pass


def test_trace(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gilknocker, "GilTracerUnsupported", Unsupported)
    monkeypatch.setattr(gilknocker, "GilTracer", FakeTracer)
    got = run(shell, "%%gil --trace -o kept\n1")
    assert got.value == 1 and "What threads waited for the GIL" in the_card(got)
    assert shell.user_ns["kept"].method == "trace"

    def refuse(**_: Any) -> None:
        raise Unsupported("no glibc")

    monkeypatch.setattr(gilknocker, "GilTracer", refuse)
    got = run(shell, "%%gil --trace\n1")
    assert isinstance(got.error, UsageError) and str(got.error) == "--trace: no glibc"


@needs_stacks
@needs_tracer
def test_a_trace_names_the_lines_too(shell: InteractiveShell) -> None:
    cell = "%%gil --trace -i 500 -o kept\nfrom gilknocker.testing import hold_gil\nhold_gil(1)"
    [shown] = run(shell, cell).shown
    assert "hold_gil" in shown["text/plain"] and "cannot be said" not in shown["text/plain"]
    kept = shell.user_ns["kept"]
    assert (kept.method, kept.interval_ns) == ("trace", 500_000)
    got = run(shell, "%%gil --trace -i 9999999999999999\n1")
    assert str(got.error).startswith("-i: interval_micros must be")


def test_child_processes_are_said(shell: InteractiveShell) -> None:
    code = "import time\\nwhile time.process_time() < 0.3: pass"
    cell = f"%%gil\nimport subprocess, sys; subprocess.run([sys.executable, '-c', '{code}'])"
    [shown] = run(shell, cell).shown
    for kind in ("text/html", "text/plain"):
        assert "child processes used" in shown[kind]
    [shown] = run(shell, "%%gil\npass").shown
    assert "child processes" not in shown["text/html"]


def test_plot(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(gilknocker, "GilTracer", FakeTracer)
    got = run(shell, "%%gil --trace --plot\n1")
    assert got.error is None and the_card(got) and len(got.pictures) == 1
    monkeypatch.setattr(FakeTracer, "snapshot", lambda self, waits: tell(["held"], []))
    got = run(shell, "%%gil --trace --plot\n1")
    assert got.error is None and the_card(got) and not got.pictures  # no waits to draw


def test_plot_without_matplotlib(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    got = run(shell, "%%gil --plot\nran = 1")
    assert isinstance(got.error, UsageError) and "ran" not in shell.user_ns
    assert "pip install 'gilknocker[plot]'" in str(got.error)


def test_loading_twice_and_unloading(shell: InteractiveShell) -> None:
    ipython.load(shell)
    assert run(shell, f"%%gil\n{AWAITS}").value == 8
    ipython.unload(shell)
    assert not [t for t in shell.input_transformers_post if "gilknocker" in str(type(t))]
    assert isinstance(run(shell, "%gil 1").error, UsageError)
    ipython.unload(shell)


def test_help(shell: InteractiveShell) -> None:
    function = shell.find_line_magic("gil")
    assert "--trace" in function.__doc__ and "-o NAME" in function.__doc__
