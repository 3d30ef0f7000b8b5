"""How long each task waited for the GIL, among Dask's Fine Performance Metrics."""

from __future__ import annotations

import threading
from functools import wraps
from typing import TYPE_CHECKING

import distributed.worker
from distributed.metrics import context_meter

from gilknocker.integrations.spans import SharedTracer, seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["TASKS"]

# What runs a task in a thread of a worker, and meters it: private to Dask, by its names so far.
_RUNNERS = ("_run_task_simple", "apply_function_simple")


class TaskWaits:
    """Splits the GIL's waits from ``thread-noncpu`` of each task that a thread of a worker runs.

    Of a process, whose workers share it: Dask runs tasks by one function of its own, which is
    replaced while anybody wants it. Any thread may call anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: set[object] = set()
        self._undo: Callable[[], None] | None = None

    def begin(self, user: object) -> None:
        """Split for somebody.

        Raises
        ------
        GilTracerUnsupported
            If the GIL cannot be traced here.
        RuntimeError
            If this version of Dask runs tasks in another way.
        """
        with self._lock:
            if self._undo is None:
                self._undo = _replace_runner()
            self._users.add(user)

    def end(self, user: object) -> None:
        """Split for somebody no longer; nothing if he had not begun."""
        with self._lock:
            self._users.discard(user)
            if not self._users and self._undo is not None:
                self._undo()
                self._undo = None


TASKS = TaskWaits()


def _replace_runner() -> Callable[[], None]:
    name = next((one for one in _RUNNERS if hasattr(distributed.worker, one)), None)
    if name is None:
        raise RuntimeError(
            f"distributed {distributed.__version__} has none of {', '.join(_RUNNERS)} in "
            "distributed.worker: how long its tasks wait for the GIL cannot be told"
        )
    real = getattr(distributed.worker, name)
    tracer = SharedTracer(None)
    setattr(distributed.worker, name, _metered(real, tracer))

    def undo() -> None:
        setattr(distributed.worker, name, real)
        tracer.close()

    return undo


def _metered(run: Callable[..., Any], tracer: SharedTracer) -> Callable[..., Any]:
    @wraps(run)
    def metered(*args: Any, **kwargs: Any) -> Any:
        noncpu: list[float] = []

        def note(label: object, value: float, unit: str) -> None:
            if label == "thread-noncpu" and unit == "seconds":
                noncpu.append(value)

        before = tracer.share()
        try:
            with context_meter.add_callback(note):
                return run(*args, **kwargs)
        finally:
            after = tracer.share()
            if before is not None and after is not None:
                _tell(seconds(before, after)[0], sum(noncpu))

    return metered


def _tell(waited: float, noncpu: float) -> None:
    """Tell Dask how much of ``thread-noncpu`` was a wait for the GIL: their sum stays the same.

    After the task, not within it: there Dask would take it from ``thread-cpu``, too. What a task
    has metered itself is no longer in ``thread-noncpu``, and the waits in that stay there.
    """
    waited = min(waited, noncpu)
    if waited > 0:
        context_meter.digest_metric("gil-wait", waited, "seconds")
        context_meter.digest_metric("thread-noncpu", -waited, "seconds")
