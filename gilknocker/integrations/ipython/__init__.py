"""``%load_ext gilknocker``: the magic ``%gil``, which measures a statement or a cell.

A cell is left to IPython: its first line becomes the call that starts the measurement, which ends
with the cell. So all that it displays and keeps is what it would be without.

A statement that awaits gets another ``await``, before its call of the magic: that gives IPython a
coroutine, for it cannot run one within the kernel's loop.
"""

from __future__ import annotations

from typing import Any

from IPython.core.magic import needs_local_scope, no_var_expand

from gilknocker.integrations.ipython.cell import ExpandCell, UntilCellEnds
from gilknocker.integrations.ipython.line import AwaitMagic, run_statement
from gilknocker.integrations.ipython.measurement import Measurement
from gilknocker.integrations.ipython.options import parse

__all__ = ["load", "unload"]


def load(shell: Any) -> None:
    """Give an IPython shell the magic; nothing more the second time."""
    unload(shell)

    def gil(line: str, cell: Any = None, local_ns: Any = None) -> Any:
        """Measure how busy the GIL is while a statement or a cell runs.

        ::

            %gil [-i MICROS] [--trace] [-o NAME] [--plot] STATEMENT

            %%gil [-i MICROS] [--trace] [-o NAME] [--plot]
            CODE
            ...

        The code runs as it would without: its variables stay, it may use ``await``, and what it
        displays is displayed. The measurement is shown at its end, also where it fails; displaying
        the values of a cell counts as a part of it.

        -i MICROS
            Look at the GIL every so many microseconds (1000) where holds cannot be counted, and
            knock a tenth as often.
        --trace
            Measure exactly, by tracing, where that is supported (see ``gilknocker.GilTracer``).
        -o NAME
            Keep the measurement in a variable: a ``gilknocker.Snapshot`` with its raw waits.
        --plot
            Also draw the waits by percentile (needs matplotlib).
        """
        if isinstance(cell, str):  # called by code: a cell that is typed in is expanded
            shell.run_cell(f"%%gil {line}\n{cell}")
            return None
        options, statement = parse(line, is_cell=cell is not None)
        measurement = Measurement(shell, options)
        if cell is not None:
            UntilCellEnds(shell, measurement)
            return None
        namespace = shell.user_ns if local_ns is None else local_ns
        number = shell.displayhook.prompt_count
        return run_statement(shell, statement, measurement, number, namespace)

    no_var_expand(gil)  # the code is not ours to change
    needs_local_scope(gil)  # in a function, its variables
    shell.register_magic_function(gil, magic_kind="line_cell", magic_name="gil")
    # Others that come after see the cell as it is without the magic.
    shell.input_transformers_post[:0] = [ExpandCell(shell), AwaitMagic(shell)]


def unload(shell: Any) -> None:
    """Take the magic away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("gil", None)
    transformers = shell.input_transformers_post
    ours = (ExpandCell, AwaitMagic)
    transformers[:] = [each for each in transformers if not isinstance(each, ours)]
