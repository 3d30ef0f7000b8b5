"""A hook that the parent of a fork calls after all others, whoever registered them since.

Python 3.13.0 to 3.13.9 and 3.14.0 count the threads of a process when these hooks have returned
(gh-137109), and warn of more than one. So nothing of ours may start before. The main thread can be
asked to call us soon, which it does between two steps of Python code: that must be the code that
forked, not a hook. Hence ours is in C, and the last.
"""

from __future__ import annotations

import gc
import os

# Not functools, which the program would pay for.
from _functools import partial  # type: ignore[import-not-found]

from gilknocker import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LastHook"]


class LastHook:
    """Has the main thread call what is in `calls`, as soon as it is back from a fork.

    Thread safety: its owner's lock is held, but by the hook, which only reads.

    Attributes
    ----------
    calls : list of callable
        Filled and emptied by its owner. The hook that is called last has it; those before have
        empty ones.
    """

    def __init__(self) -> None:
        self._hooks: list[object] | None = None  # Python's own, of all that the parent calls
        self._register()

    def be_last(self) -> None:
        """Register it anew if others have been since. Before each fork."""
        if self._hooks is None or not self._is_last():
            self.calls.clear()
            self._register()
            self._hooks = _list_that_ends_with(self._hook)

    def _register(self) -> None:
        self.calls: list[Callable[[], None]] = []
        # Calls call_soon() for each in the list, all in C: a hook in Python would itself run the
        # pending call before it returns.
        self._hook = partial(max, self.calls, key=_core.call_soon, default=None)
        os.register_at_fork(after_in_parent=self._hook)

    def _is_last(self) -> bool:
        # Of an empty one nothing is known: better than a hook more at each fork.
        return not self._hooks or self._hooks[-1] is self._hook


def _list_that_ends_with(hook: object) -> list[object]:
    """Return the list that Python has registered `hook` in, or an empty one."""
    try:
        referrers = gc.get_referrers(hook)
    except Exception:  # an audit hook of the program's may forbid it
        return []
    for found in referrers:
        if type(found) is list and found and found[-1] is hook:
            return found
    return []
