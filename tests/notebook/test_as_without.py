"""A cell under `%%gil` displays, keeps and raises what it does without, in all modes of IPython."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("IPython", reason="needs the extra [notebook]")

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

MODES = ("all", "last", "last_expr", "none", "last_expr_or_assign")

LINES = (
    "x = 1",
    "x + 1",
    "x: int = 2",
    "x += 1",
    "y, z = 1, 2",
    "print('printed')",
    "x;",
    "for n in range(2): n",
    "if x: x",
    "display('displayed')",
    "None",
    "f'{x!r:>5}'  # said",
    "'a', 'b'",
    "del x",
    "with open('/dev/null') as x: x.name",
    "try: x\nfinally: 'final'",
)
SYNC = [
    *(f"x = 5\n{one}\n{two}" for one, two in zip(LINES, LINES[1:] + LINES[:1], strict=True)),
    *(f"x = 5\n{line}" for line in LINES),
    "1",
    "x = 1",
    "\n\n1\n",
    "  x = 1\n  x",
    "'a'; 'b'",
    "'a'; 'b';",
    "from __future__ import annotations\ndef f(a: b): pass\nf.__annotations__",
    "'''text\nof lines'''",
    "%pwd",
    "here = %pwd\nlen(here) > 0",
    "!echo shell",
    "lines = !echo shell\nlist(lines)",
    "pwd",
    "%%time\n1",
    "%%capture kept\n'captured'\nprint('too')",
    "def f():\n    return 3\nf()",
    "class A:\n    def __repr__(self): return 'A!'\nA()",
    "_",
    "1\n_",
    "Out",
    "1/0\n'not reached'",
    "'before'\n1/0",
    "x = = 1",
    "raise KeyError('k')",
    "get_ipython().run_cell('7').result\n'after'",
    "get_ipython().run_cell('').result\n'after'",
    "get_ipython().run_cell('8', silent=True).result\n'after'",
    "len?",
]
ASYNC = [
    "import asyncio\n" + code
    for code in (
        "await asyncio.sleep(0, 1)",
        "x = await asyncio.sleep(0, 1)",
        "x = await asyncio.sleep(0, 1)\nx",
        "await asyncio.sleep(0, 1)\n2\nx = 3",
        "await asyncio.sleep(0, 1);",
        "1\nfor n in range(2): await asyncio.sleep(0, n)",
        "async with asyncio.Lock(): 'within'",
        "async def f(): return 4\nawait f()",
        "[await asyncio.sleep(0, n) for n in range(3)]",
        "await asyncio.sleep(0, 1)\n1/0",
        "x: int = await asyncio.sleep(0, 1)",
        "x = y = await asyncio.sleep(0, 1)",
        "print(await asyncio.sleep(0, 1))\n_",
        "await asyncio.sleep(0, None)",
        "{n: await asyncio.sleep(0, n) for n in range(2)}",
        "async for n in (n async for n in [1]): n",
        "await (await asyncio.sleep(0, asyncio.sleep(0, 2)))",
        "try: await asyncio.sleep(0, 5)\nfinally: 'final'",
        "raise KeyError(await asyncio.sleep(0, 6))",
        "await 5",
        "%%time\nawait asyncio.sleep(0, 7)",
    )
]
CELLS = SYNC + ASYNC


def test_there_are_enough() -> None:
    assert len(set(CELLS)) == len(CELLS) >= 80


def outcome(shell: InteractiveShell, cell: str) -> dict[str, Any]:
    """Run a cell in a session that is new, and return all that can be seen of it."""
    shell.reset(new_session=True)
    with capture_output() as captured:
        result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    text = re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout)
    if error is not None:  # with a line more in the cell its numbers are others
        text = text.rpartition("\n")[2]
    shown = [output.data for output in captured.outputs]
    return {
        "text": re.sub(r"(?m)^(CPU|Wall|File|Docstring).*", "", text),
        "stderr": captured.stderr,
        "shown": [data for data in shown if "gilknocker" not in data.get("text/html", "")],
        "cards": len([data for data in shown if "gilknocker" in data.get("text/html", "")]),
        "value": repr(result.result),
        "error": repr(error).partition("(")[0],
        "Out": repr(shell.user_ns["Out"]),
        "_": repr(shell.user_ns.get("_")),
        "names": sorted(name for name in shell.user_ns if not name.startswith("_")),
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_cell_shows_and_keeps_what_it_does_without(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # of each reset, which takes the most of the time
    shell.ast_node_interactivity = mode
    for cell in CELLS:
        without = outcome(shell, cell)
        measured = outcome(shell, f"%%gil\n{cell}")
        cards = 0 if without["error"] == "SyntaxError" else 1
        assert measured.pop("cards") == cards, cell
        assert without.pop("cards") == 0
        assert measured == without, cell


def test_other_transformers_see_the_cell(shell: InteractiveShell) -> None:
    seen: list[str] = []

    def transform(lines: list[str]) -> list[str]:
        seen.append("".join(lines))
        return [line.replace("ONE", "1") for line in lines]

    shell.input_transformers_post.append(transform)
    assert outcome(shell, "%%gil\nONE")["value"] == "1"
    assert seen == ["get_ipython().run_cell_magic('gil', '', ...)\nONE\n"]


def test_what_is_done_after_each_cell_is_not_measured(shell: InteractiveShell) -> None:
    import time

    def after() -> None:
        time.sleep(1)

    shell.events.register("post_execute", after)
    try:
        shell.run_cell("%%gil -o kept\n1")
    finally:
        shell.events.unregister("post_execute", after)
    assert shell.user_ns["kept"].observed_ns < 900_000_000


def test_nested_cells_are_measured_whole(shell: InteractiveShell) -> None:
    nested = "get_ipython().run_cell({!r})\nimport time; time.sleep(1)"
    for cell in ("%%gil -o inner\n1", "1", ""):
        shell.run_cell("%%gil -o kept\n" + nested.format(cell))
        assert shell.user_ns["kept"].observed_ns > 1_000_000_000
    assert shell.user_ns["inner"].observed_ns < 900_000_000


def test_it_leaves_nothing_behind(shell: InteractiveShell) -> None:
    def callbacks() -> dict[str, list[Callable[..., Any]]]:
        return {event: list(found) for event, found in shell.events.callbacks.items()}

    before = callbacks()
    attributes = dict(vars(shell))
    cells = ("1", "1/0", "get_ipython().run_cell('1/0')", "return")
    for head in ("%%gil\n", "%%gil --no\n", "%%gil\n%%gil\n", "%%time\n%%gil\n"):
        for cell in cells:
            shell.run_cell(head + cell)
            assert callbacks() == before
            for name in ("showtraceback", "CustomTB"):
                assert vars(shell).get(name) == attributes.get(name)


def test_a_call_by_code(shell: InteractiveShell) -> None:
    # What nbconvert makes of a notebook for a script.
    got = outcome(shell, "get_ipython().run_cell_magic('gil', '-o kept', 'x = 6\\nx * 7\\n')")
    assert got["cards"] == 1 and got["Out"] == "{1: 42}" and {"kept", "x"} <= set(got["names"])
    shell.run_cell("def f(): get_ipython().run_cell_magic('gil', '-o other', 'x * 8')\nf()")
    assert shell.user_ns["_"] == 48 and "other" in shell.user_ns
