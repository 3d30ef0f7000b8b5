"""What was measured, as a value: :class:`Snapshot`, and what it is made of.

Importing this loads nothing else; :class:`Snapshot` comes with its first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.snapshot.value import Snapshot as Snapshot


def __getattr__(name: str) -> object:
    # Pickles name these two as of this module, since 1.0.
    if name not in ("Snapshot", "_restore"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gilknocker.snapshot import value

    return getattr(value, name)
