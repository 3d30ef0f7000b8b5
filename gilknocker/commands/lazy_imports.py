"""What we import, imported where it stands: also where imports are put off.

That is PEP 810, of Python 3.15 (``PYTHON_LAZY_IMPORTS=all``): a module is looked for when it is
first used. Ours may be used at exit first, when the program's folder is on the path, with a json.py
in it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LazyImports"]


class LazyImports:
    """What Python was told of imports, from when this is made: none of ours is put off.

    Those of ours that have been put off before are done now.
    """

    def __init__(self) -> None:
        self._set: Any = getattr(sys, "set_lazy_imports_filter", None)
        if self._set is None:
            return
        self._filter = getattr(sys, "get_lazy_imports_filter")()  # noqa: B009 (of 3.15)
        self._set(lambda *_: False)
        ours = [name for name in sys.modules if name.partition(".")[0] == "gilknocker"]
        for module in [sys.modules[name] for name in ours]:
            for name in list(vars(module)):
                getattr(module, name)

    def give_back(self) -> None:
        """Let the program's imports be as Python was told."""
        if self._set is not None:
            self._set(self._filter)
