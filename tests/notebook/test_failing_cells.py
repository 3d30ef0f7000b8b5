"""A cell under `%%gil` that fails is measured until then, and not while its traceback is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("IPython", reason="needs the extra [notebook]")

from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from gilknocker.integrations.ipython.measurement import Measurement

INTERRUPTED = """import asyncio
def interrupt(): raise KeyboardInterrupt
asyncio.get_running_loop().call_soon(interrupt)
await asyncio.Event().wait()"""


@pytest.fixture
def steps(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give what is done, in this order: measuring stops, an exception is shown."""
    done: list[str] = []
    stop, show = Measurement.stop, InteractiveShell.showtraceback

    def stopped(self: Measurement) -> None:
        done.append("stop")
        stop(self)

    def shown(self: InteractiveShell, *args: Any, **kwargs: Any) -> None:
        done.append("show")
        show(self, *args, **kwargs)

    monkeypatch.setattr(Measurement, "stop", stopped)
    monkeypatch.setattr(InteractiveShell, "showtraceback", shown)
    monkeypatch.setattr("IPython.core.interactiveshell.warn", lambda *a, **k: None)
    yield done
    # A cell that was interrupted waits in the loop of all shells yet.
    loop = get_asyncio_loop()
    if waiting := asyncio.all_tasks(loop):
        for task in waiting:
            task.cancel()
        with capture_output():
            loop.run_until_complete(asyncio.wait(waiting))


def run(shell: InteractiveShell, cell: str) -> None:
    with capture_output():
        shell.run_cell("%%gil\n" + cell)


@pytest.mark.parametrize(
    "cell",
    [
        "1/0",
        "raise KeyboardInterrupt",
        "raise SystemExit",
        "raise SyntaxError('of a module')",
        "import asyncio\nawait asyncio.sleep(0)\n1/0",
        "return",
        INTERRUPTED,
    ],
)
def test_showing_the_exception_is_not_measured(
    shell: InteractiveShell, steps: list[str], cell: str
) -> None:
    run(shell, cell)
    assert steps == ["stop", "show"]


def test_nor_is_a_handler_of_the_users_own(shell: InteractiveShell, steps: list[str]) -> None:
    shell.set_custom_exc((KeyError,), lambda *a, **k: steps.append("handle"))
    try:
        run(shell, "{}['a']")
    finally:
        shell.set_custom_exc((), None)
    assert steps == ["stop", "handle"]


def test_each_of_two_measurements_stops(shell: InteractiveShell, steps: list[str]) -> None:
    run(shell, "%%gil\n1/0")
    assert steps == ["stop", "stop", "show"]


@pytest.mark.parametrize(
    "shows",
    [
        "get_ipython().run_cell('1/0')",
        f"get_ipython().run_cell({INTERRUPTED!r})",
        "try: 1/0\nexcept Exception: get_ipython().showtraceback()",
    ],
)
def test_a_cell_that_shows_one_and_goes_on_is_measured_whole(
    shell: InteractiveShell, steps: list[str], shows: str
) -> None:
    run(shell, f"{shows}\n1")
    assert steps == ["show", "stop"]


def test_what_a_cell_replaces_stays(shell: InteractiveShell, steps: list[str]) -> None:
    run(
        shell,
        "shell = get_ipython()\nreal = shell.showtraceback\n"
        "shell.showtraceback = lambda *args, **kwargs: real(*args, **kwargs)\n1/0",
    )
    try:
        assert steps == ["stop", "show"]
        run(shell, "1/0")
        assert steps == ["stop", "show"] * 2
        assert "<lambda>" in str(vars(shell)["showtraceback"])
    finally:
        del shell.showtraceback
