#!/usr/bin/env bash
# uvloop 0.23.0: debug mode does not tell of a protocol's slow callback.
#
# In debug mode asyncio logs what keeps the loop for longer than slow_callback_duration; uvloop has that
# too, for tasks and call_soon(). But what its transports call (connection_made, data_received,
# eof_received, ...) does not go through a handle there, and is not timed: data_received() that blocks the
# loop for 0.2 s is logged by asyncio and passed over by uvloop. Servers that parse in their protocol do
# their work just there, and uvloop is what they run on.
#
# Guessed before: both tell of both.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q uvloop==0.23.0 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import asyncio
import logging
import time

import uvloop

told = []


class Listen(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage())


logging.getLogger("asyncio").addHandler(Listen())
logging.getLogger("asyncio").propagate = False


class Slow(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        time.sleep(0.2)
        self.transport.write(data)


async def main():
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0.1
    told.clear()
    loop.call_soon(time.sleep, 0.2)
    await asyncio.sleep(0.01)
    of_call_soon = len(told)
    server = await loop.create_server(Slow, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    told.clear()
    writer.write(b"x")
    await reader.read(1)
    await asyncio.sleep(0.01)
    of_protocol = len(told)
    writer.close()
    await writer.wait_closed()
    server.close()
    return of_call_soon, of_protocol


def seen(new_loop):
    loop = new_loop()
    loop.set_debug(True)
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


for name, new_loop in (("asyncio", asyncio.SelectorEventLoop), ("uvloop ", uvloop.new_event_loop)):
    of_call_soon, of_protocol = seen(new_loop)
    print(f"{name}: told of call_soon(): {of_call_soon}, of data_received(): {of_protocol}")
    assert (of_call_soon, of_protocol) == (1, int(name == "asyncio")), told
PYTHON
# Seen on 2026-11-29, Python 3.11.2 and 3.12.1:
# asyncio: told of call_soon(): 1, of data_received(): 1
# uvloop : told of call_soon(): 1, of data_received(): 0
