"""An ASGI service that works a little for each request, and says what the process has."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

WORK_SECONDS = 0.0005  # of the loop's thread, for each request


def state() -> dict[str, Any]:
    """Return what an attached meter could leave behind here."""
    tasks = len(os.listdir("/proc/self/task"))  # before what they have: they close it, and end
    core = sys.modules.get("gilknocker._core")
    files = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            files.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # of listing them
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = sorted({line.split(maxsplit=5)[-1].strip() for line in maps if "/" in line})
    return {
        "pointers": len(core.trace_slots()) if core is not None else 0,
        "tasks": tasks,
        "threads": [thread.name for thread in threading.enumerate()],
        "files": sorted(one for one in files if not one.startswith("socket:[")),
        "sockets": sum(one.startswith("socket:[") for one in files),
        "mapped": mapped,
        "path": sys.path,
        "modules": len(sys.modules),
    }


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer ``/state`` with the state, and anything else with its own path."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/state":
        body = json.dumps(state()).encode()
    else:
        end = time.thread_time() + WORK_SECONDS
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0.001)
        body = scope["path"].encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
