"""Sockets, protocols, processes: servers are threads of this process, on loopback."""

from __future__ import annotations

import importlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(bytes(size))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve(size: int) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/{size}"


_WAITS = "waits for its socket without the GIL, and copies with it"


@case(
    "requests",
    "requests.get(url).content",
    size="180 MB",
    set_up=lambda: _serve(180_000_000),
    guess="mixed",
    why=_WAITS,
)
def requests_get(url: str) -> bytes:
    content: bytes = importlib.import_module("requests").get(url).content
    return content


@case(
    "httpx",
    "httpx.get(url).content",
    size="160 MB",
    set_up=lambda: _serve(160_000_000),
    guess="mixed",
    why=_WAITS,
)
def httpx_get(url: str) -> bytes:
    content: bytes = importlib.import_module("httpx").get(url).content
    return content


@case(
    "pycurl",
    "Curl().perform()",
    size="300 MB",
    set_up=lambda: _serve(300_000_000),
    guess="mixed",
    why="lets go while libcurl works, but for callbacks to Python",
)
def pycurl_perform(url: str) -> Any:
    import io

    pycurl = importlib.import_module("pycurl")
    file = io.BytesIO()
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEDATA, file)
    curl.perform()
    curl.close()
    return file


@case(
    "pyzmq",
    "socket.recv()",
    size="800 messages of 1 MB",
    guess="mixed",
    why="lets go around zmq_msg_send and zmq_msg_recv",
)
def zmq_recv(_: None) -> int:
    zmq = importlib.import_module("zmq")
    context = zmq.Context()
    with context, context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        push.connect(f"tcp://127.0.0.1:{port}")
        total = 0
        for _i in range(800):
            push.send(bytes(1_000_000), copy=False)
            total += len(pull.recv())
        return total


@case(
    "websockets",
    "frames.apply_mask(data, mask)",
    size="700 MB",
    set_up=lambda: bytes(700_000_000),
    guess="keeps",
    why="a loop in C: nothing in its sources lets go (src/websockets/speedups.c)",
)
def websockets_mask(data: bytes) -> Any:
    return importlib.import_module("websockets.speedups").apply_mask(data, b"mask")


@case(
    "psutil",
    "Process().memory_maps()",
    size="80 times",
    guess="gives way",
    why="reads /proc by Python code",
)
def psutil_maps(_: None) -> None:
    process = importlib.import_module("psutil").Process()
    for _i in range(80):
        process.memory_maps()


@case("psutil", "psutil.cpu_percent(interval=0.3)", guess="releases", why="sleeps")
def psutil_cpu_percent(_: None) -> Any:
    return importlib.import_module("psutil").cpu_percent(interval=0.3)


@case(
    "dnspython",
    "dns.message.from_wire(data)",
    size="9,000 times",
    set_up=lambda: _dns(),
    guess="gives way",
    why="written in Python",
)
def dns_parse(data: bytes) -> None:
    dns = importlib.import_module("dns.message")
    for _i in range(9_000):
        dns.from_wire(data)


def _dns() -> bytes:
    text = "id 1\n;QUESTION\nexample. IN A\n;ANSWER\nexample. 60 IN A 127.0.0.1\n"
    data: bytes = importlib.import_module("dns.message").from_text(text).to_wire()
    return data


async def _echo(reader: Any, writer: Any) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


async def _talk(rounds: int) -> None:
    import asyncio

    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _i in range(rounds):
        writer.write(b"x" * 1_000)
        await reader.readexactly(1_000)
    writer.close()
    server.close()


@case(
    "uvloop",
    "an echo over TCP",
    size="18,000 rounds of 1 KB",
    guess="mixed",
    why="libuv's system calls for sending and receiving are made with the GIL held",
)
def uvloop_echo(_: None) -> None:
    importlib.import_module("uvloop").run(_talk(18_000))


@case(
    "python",
    "asyncio: an echo over TCP",
    size="12,000 rounds of 1 KB",
    guess="mixed",
    why="each system call lets go",
)
def asyncio_echo(_: None) -> None:
    import asyncio

    asyncio.run(_talk(12_000))


@case(
    "grpcio",
    "a call of a service",
    size="800 of them",
    set_up=lambda: _grpc(),
    guess="mixed",
    why="with nogil around its completion queues",
)
def grpc_call(address: str) -> None:
    grpc = importlib.import_module("grpc")
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/atlas/echo")
        for _i in range(800):
            call(b"x" * 1_000)


def _grpc() -> str:
    from concurrent.futures import ThreadPoolExecutor

    grpc = importlib.import_module("grpc")
    server = grpc.server(ThreadPoolExecutor(2))
    echo = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("atlas", {"echo": echo})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _SERVERS.append(server)
    return f"127.0.0.1:{port}"


_SERVERS: list[Any] = []


@case(
    "gevent",
    "1,000 greenlets that sleep",
    size="0 s, 120 times each",
    guess="gives way",
    why="libev's poll lets go only if it has to wait",
)
def gevent_sleep(_: None) -> None:
    gevent = importlib.import_module("gevent")

    def work() -> None:
        for _i in range(120):
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(work) for _ in range(1_000)])


@case("paramiko", "RSAKey.generate(2048)", size="10 times", guess="releases", why="cryptography")
def paramiko_key(_: None) -> Any:
    paramiko = importlib.import_module("paramiko")
    return [paramiko.RSAKey.generate(2_048) for _ in range(10)]


@case(
    "watchfiles",
    "RustNotify.watch(...)",
    size="300 ms",
    set_up=lambda: _folder(),
    guess="releases",
    why="py.detach() while it waits (src/lib.rs)",
)
def watchfiles_watch(folder: str) -> Any:
    notify = importlib.import_module("watchfiles._rust_notify").RustNotify(
        [folder], False, False, 0, True, False
    )
    return notify.watch(100, 50, 300, None)


def _folder() -> str:
    import tempfile

    return tempfile.mkdtemp(prefix="atlas-")
