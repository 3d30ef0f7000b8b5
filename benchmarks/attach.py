"""What `gilknocker attach` does to a service under load: requests lost, latency, what is left.

    python benchmarks/attach.py [--requests 10000] [--cycles 100] [--kills 20]

Needs Python 3.14 or newer, uvicorn and httpx. An ASGI service of uvicorn answers 8 clients of
httpx, each of which asks again 15 ms after it was answered, so that neither side is used up: by
turns while nobody is attached, and while an attacher comes, traces it for a second, and goes. Of
10,000 requests of the second kind none may be lost, and their 99th percentile must be within 5 ms
of that of the first kind. Then 100 attachers come and go, and 20 are killed while they measure: the
service must be as it was before, of the killed ones within 2 s. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from machine import describe
from steal import StealTime

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from service import free_port, service

APPS = Path(__file__).parent.parent / "tests" / "integrations" / "apps"
CLIENTS = 8
PAUSE_SECONDS = 0.015
MOST_LATER_MS = 5.0
MOST_SECONDS = 2.0
MOST_MAPPED_KIB = 40 << 10  # so much of the stacks of ended threads glibc keeps for new ones
GIVE_UP_SECONDS = 60.0
# What the first one leaves for good, as docs/outside.md says: imported modules, and their files.
KEPT = ("modules", "mapped")


def line(good: bool, text: str) -> bool:
    """Print a verdict; return it."""
    print(f"{'ok  ' if good else 'FAIL'} {text}", flush=True)
    return good


class Clients:
    """Clients that ask a service, and what became of their requests."""

    def __init__(self, url: str) -> None:
        self.lost: list[str] = []
        self._client = httpx.AsyncClient(base_url=url, timeout=GIVE_UP_SECONDS)
        self._number = 0

    async def close(self) -> None:
        """Close their connections."""
        await self._client.aclose()

    async def _ask(self, times_ms: list[float]) -> None:
        self._number += 1
        path = f"/{self._number}"
        begun = time.perf_counter()
        try:
            answer = await self._client.get(path)
            if (answer.status_code, answer.text) != (200, path):
                self.lost.append(f"{answer.status_code} {answer.text[:80]}")
        except httpx.HTTPError as error:
            self.lost.append(repr(error))
        times_ms.append((time.perf_counter() - begun) * 1e3)

    async def ask_until(self, enough: Callable[[list[float]], bool]) -> list[float]:
        """Ask until it is enough; return how long each took, ms."""
        times_ms: list[float] = []

        async def one() -> None:
            while not enough(times_ms):
                await self._ask(times_ms)
                await asyncio.sleep(PAUSE_SECONDS)

        await asyncio.gather(*(one() for _ in range(CLIENTS)))
        return times_ms


class Attachers:
    """Starts them, with a folder for temporary files of their own."""

    def __init__(self, pid: int, folder: str) -> None:
        self.pid, self.folder = pid, folder

    async def start(self, seconds: float) -> Process:
        """Start one."""
        command = ["-m", "gilknocker", "attach", "--seconds", str(seconds), str(self.pid)]
        environment = {**os.environ, "TMPDIR": self.folder}
        return await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment
        )

    @staticmethod
    async def result(attacher: Process) -> None:
        """Wait for its end; it must have measured."""
        out, err = await attacher.communicate()
        if attacher.returncode or b"exactly" not in out:
            raise SystemExit(f"attach failed: {out.decode()}{err.decode()}")


class State:
    """Asks a service what it has, by a connection of its own each time."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/state"

    async def now(self) -> dict[str, Any]:
        """Return it."""
        async with httpx.AsyncClient(timeout=GIVE_UP_SECONDS) as client:
            return dict((await client.get(self._url)).json())

    async def until(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Ask until it is so, or for a minute; return it."""
        give_up = time.perf_counter() + GIVE_UP_SECONDS
        while not condition(state := await self.now()) and time.perf_counter() < give_up:
            await asyncio.sleep(0.002)
        return state


def p99(times_ms: list[float]) -> float:
    return statistics.quantiles(times_ms, n=100)[98]


def has(count: int, times_ms: list[float]) -> bool:
    return len(times_ms) >= count


async def while_attached(clients: Clients, attachers: Attachers) -> list[float]:
    """Ask while an attacher comes, measures for a second, and goes."""
    ended = asyncio.ensure_future(attachers.result(await attachers.start(1.0)))
    times_ms = await clients.ask_until(lambda _: ended.done())
    await ended
    return times_ms


async def latency(clients: Clients, attachers: Attachers, requests: int) -> bool:
    """Print what attaching does to requests; whether that is within the bounds."""
    alone: list[float] = []
    attached: list[float] = []
    steal = StealTime()
    await clients.ask_until(partial(has, 500))  # warm
    while len(attached) < requests:
        block = await while_attached(clients, attachers)
        attached += block
        alone += await clients.ask_until(partial(has, len(block)))
    for name, times in (("alone", alone), ("attached", attached)):
        print(
            f"     {name:8} {len(times)} requests: median {statistics.median(times):.2f} ms, "
            f"p99 {p99(times):.2f}, longest {max(times):.1f}"
        )
    lost = line(not clients.lost, f"requests lost: {len(clients.lost)} {clients.lost[:1]}")
    later = p99(attached) - p99(alone)
    late = line(
        later <= MOST_LATER_MS,
        f"p99 while attached: {later:+.2f} ms (<= {MOST_LATER_MS:g}); steal {steal.share():.1%}",
    )
    return lost and late


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [f"{key}: {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]


async def cycles(state: State, attachers: Attachers, first: dict[str, Any], count: int) -> bool:
    """Print what many attachers leave; whether that is nothing."""
    await attachers.result(await attachers.start(0.05))
    before = await state.until(lambda now: now["sockets"] == first["sockets"])
    kept = {key: before[key] for key in KEPT}
    left = differences({**first, **kept}, before) + os.listdir(attachers.folder)
    resident, mapped = memory_kib(attachers.pid)
    for _ in range(count):
        await attachers.result(await attachers.start(0.05))
    left += differences(before, await state.now()) + os.listdir(attachers.folder)
    more_resident, more_mapped = (
        now - then for now, then in zip(memory_kib(attachers.pid), (resident, mapped), strict=True)
    )
    nothing = line(
        not left, f"{count} attachers came and went: {'; '.join(left) or 'nothing left'}"
    )
    return nothing & line(
        more_mapped <= MOST_MAPPED_KIB,
        f"mapped: {more_mapped:+} KiB (<= {MOST_MAPPED_KIB}); resident: {more_resident:+} KiB",
    )


def memory_kib(pid: int) -> tuple[int, int]:
    """Return what a process has of memory, and of addresses."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    resident, mapped = (
        int(status.partition(f"{name}:")[2].split()[0]) for name in ("VmRSS", "VmSize")
    )
    return resident, mapped


async def kills(state: State, attachers: Attachers, count: int) -> bool:
    """Print how soon the service is itself again when attachers are killed; whether in time."""
    before = await state.now()
    took: list[float] = []
    left: list[str] = []
    for _ in range(count):
        attacher = await attachers.start(600.0)
        await state.until(lambda now: now["pointers"] and now["tasks"] > before["tasks"])
        attacher.kill()
        begun = time.perf_counter()
        await attacher.communicate()
        after = await state.until(lambda now: not differences(before, now))
        took.append(time.perf_counter() - begun)
        left += differences(before, after) + os.listdir(attachers.folder)
    noticed = sum(one <= MOST_SECONDS for one in took)
    return line(
        noticed == count and not left,
        f"{count} attachers were killed: {noticed} noticed within {MOST_SECONDS:g} s, "
        f"median {statistics.median(took) * 1e3:.0f} ms, longest {max(took) * 1e3:.0f} ms; "
        f"{'; '.join(left) or 'nothing left'}",
    )


async def measure(options: argparse.Namespace, url: str, attachers: Attachers) -> bool:
    """Run all against one service."""
    state, clients, good = State(url), Clients(url), []
    first = await state.now()  # before the clients' connections
    if options.requests:
        good.append(await latency(clients, attachers, options.requests))
    await clients.close()
    if options.cycles:
        good.append(await cycles(state, attachers, first, options.cycles))
    if options.kills:
        good.append(await kills(state, attachers, options.kills))
    return all(good)


def main() -> int:
    """Print the figures and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000, help="while attached (10000)")
    parser.add_argument("--cycles", type=int, default=100, help="of attaching (100)")
    parser.add_argument("--kills", type=int, default=20, help="of attachers (20)")
    options = parser.parse_args()
    print(describe())
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "attached_app:app", "--app-dir", str(APPS)]
    command += ["--port", str(port), "--log-level", "warning"]
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        with service(command, f"{url}/state", Path(folder, "log")) as process:
            attachers = Attachers(process.pid, str(temporary))
            good = asyncio.run(measure(options, url, attachers))
            good &= line(process.poll() is None, "the service runs on")
        said = Path(folder, "log").read_text(encoding="utf-8")
        good &= line(not said, f"it has said {said[:500]!r}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
