"""What Dask calls of a module that a worker or a scheduler preloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask.config

from gilknocker._checks import shown
from gilknocker.integrations.dask.scheduler import GilSchedulerPlugin
from gilknocker.integrations.dask.worker import NAME, GilWorkerPlugin

if TYPE_CHECKING:
    from typing import Any

__all__ = ["dask_setup"]

# Not that of `watch`: who closes what that returned leaves this here.
_PRELOADED = f"{NAME}-preload"


async def dask_setup(server: Any) -> None:
    """Watch the GIL of a worker, or remember in a scheduler what the workers tell.

    Dask's configuration says how: ``gilknocker.stacks`` and ``gilknocker.tasks`` are bools, false
    by default; see `GilWorkerPlugin`.

    Parameters
    ----------
    server : distributed.Worker or distributed.Scheduler

    Raises
    ------
    TypeError
        If it is something else, or a setting has another type.
    RuntimeError
        If the worker does not watch its GIL.
    """
    from distributed import Scheduler, Worker

    if isinstance(server, Worker):
        plugin = GilWorkerPlugin(stacks=_setting("stacks"), tasks=_setting("tasks"))
        await server.plugin_add(plugin, name=_PRELOADED, catch_errors=False)
    elif isinstance(server, Scheduler):
        await server.register_scheduler_plugin(
            GilSchedulerPlugin(_PRELOADED), name=_PRELOADED, idempotent=True
        )
    else:
        raise TypeError(
            "gilknocker.integrations.dask is preloaded by a worker or a scheduler, "
            f"not by a {type(server).__name__}"
        )


def _setting(name: str) -> bool:
    value = dask.config.get(f"{NAME}.{name}", False)
    if not isinstance(value, bool):
        raise TypeError(f"Dask's setting {NAME}.{name} must be true or false, not {shown(value)}")
    return value
