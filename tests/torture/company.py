"""Other tenants of the process: interpreters, event loops, greenlets; and Python embedded."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import warnings
from typing import Any

import embedding
from registry import fault
from subject import check_goes_on, kept, make, numbers, pause, started


def _interpreters() -> Any:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _no_interpreters() -> str:
    return "" if _interpreters() else "this Python has no module for sub-interpreters"


def _no_own_gil() -> str:
    return "" if sys.version_info >= (3, 12) else "no own GIL before Python 3.12"


def _run(*, own_gil: bool, count: int = 3) -> None:
    """Import in sub-interpreters: refused, in this and every other."""
    module = _interpreters()
    program = (
        "try:\n"
        "    from gilknocker import KnockKnock\n"
        "except ImportError as error:\n"
        "    assert 'interpreter' in str(error), error\n"
        "else:\n"
        "    KnockKnock().start()\n"
        "sum(range(100_000))\n"
    )
    for _ in range(count):
        one = _create(module, own_gil)
        assert not module.run_string(one, program)
        if numbers.random() < 0.8:
            module.destroy(one)
        else:  # it lives until the end, of which Python 3.15 warns
            warnings.filterwarnings("ignore", "remaining subinterpreters")


def _create(module: Any, own_gil: bool) -> Any:
    if sys.version_info >= (3, 13):
        return module.create("isolated" if own_gil else "legacy")
    if sys.version_info >= (3, 12):
        return module.create(isolated=own_gil)
    return module.create()


@fault("imported in sub-interpreters that share the GIL", missing=_no_interpreters)
def shared_gil() -> None:
    if numbers.random() < 0.5:
        _run(own_gil=False, count=1)  # before the main one has it
    kept.extend(started())
    _run(own_gil=False)
    check_goes_on(kept[0])
    pause()


@fault("imported in sub-interpreters with a GIL of their own", missing=_no_own_gil)
def own_gil() -> None:
    if numbers.random() < 0.5:
        _run(own_gil=True, count=1)
    kept.extend(started())
    _run(own_gil=True)
    check_goes_on(kept[0])
    pause()


def _not_installed(name: str) -> str:
    return "" if importlib.util.find_spec(name) else f"{name} is not installed"


@fault("gevent: greenlets and a patched standard library", missing=lambda: _not_installed("gevent"))
def with_gevent() -> None:
    gevent = importlib.import_module("gevent")
    importlib.import_module("gevent.monkey").patch_all()
    mine = make()

    def use() -> None:
        for _ in range(5):
            mine.start()
            gevent.sleep(0.001)
            mine.stop()

    gevent.joinall([gevent.spawn(use) for _ in range(4)], raise_error=True)
    mine.start()
    check_goes_on(mine)
    kept.append(mine)


@fault("uvloop", missing=lambda: _not_installed("uvloop"))
def with_uvloop() -> None:
    import asyncio

    async def use() -> None:
        [mine] = started()
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.001) for _ in range(8)))
        check_goes_on(mine)
        kept.append(mine)

    loop = importlib.import_module("uvloop").new_event_loop()
    loop.run_until_complete(use())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@fault(
    "`Py_Initialize` and `Py_Finalize`, 100 times in one process",
    missing=embedding.missing,
)
def embedded() -> None:
    done = embedding.run(100)
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stderr[-2000:])
