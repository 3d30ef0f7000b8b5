"""What fixtures gave to tests runs while the bodies of these do: not in set-up, nor in teardown."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol, TypeVar, type_check_only

    @type_check_only
    class Runner(Protocol):
        """What is started and stopped."""

        def start(self) -> None: ...
        def stop(self) -> None: ...

    _R = TypeVar("_R", bound=Runner)

__all__ = ["Bodies"]


class Bodies:
    """The meters of tests that have been set up, and which test's body runs.

    All of it happens in the thread that runs the tests.
    """

    def __init__(self) -> None:
        self._meters: dict[pytest.Item, list[Runner]] = {}
        self._running: pytest.Item | None = None

    @contextmanager
    def around(self, item: pytest.Item, meter: _R) -> Iterator[_R]:
        """Let `meter` run while the body of `item` does; now, if that asks for it."""
        meters = self._meters.setdefault(item, [])
        meters.append(meter)
        if self._running is item:
            meter.start()
        try:
            yield meter
        finally:
            meters.remove(meter)
            if not meters:
                del self._meters[item]
            meter.stop()  # a body that was never left

    def enter(self, item: pytest.Item) -> None:
        """Start what is to run with the body of a test, which comes now.

        Where that is not possible the test is skipped: it asks for what there is not.
        """
        self._running = item
        for meter in self._meters.get(item, ()):
            try:
                meter.start()
            except Exception as error:
                pytest.skip(f"{type(meter).__name__}: {error}")

    def leave(self, item: pytest.Item) -> None:
        """Stop it, for the body is over."""
        self._running = None
        for meter in self._meters.get(item, ()):
            meter.stop()
