"""`gilknocker attach` to a service of uvicorn under load: it loses no request, and goes on."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from needs import needs_gil
from service import free_port, page, service
from waiting import wait_until

pytest.importorskip("uvicorn")
pytest.importorskip("gilknocker._outside")
if sys.platform != "linux" or sys.version_info < (3, 14):
    pytest.skip("a process cannot be asked before Python 3.14", allow_module_level=True)

APPS = Path(__file__).parent / "apps"
TIMEOUT = 60
# What the first attacher leaves for good: imported modules, and their files.
KEPT = ("modules", "mapped")


@needs_gil
def test_no_request_is_lost(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "attached_app:app", "--app-dir", str(APPS)]
    command += ["--port", str(port), "--log-level", "warning"]
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"

    def ask(client: int, attacher: subprocess.Popen[str]) -> int:
        connection, count = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT), 0
        while count < 100 or attacher.poll() is None:
            path = f"/{client}/{count}"
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, answer.read().decode()) == (200, path)
            count += 1
        connection.close()
        return count

    with service(command, f"{url}/state", log) as process:
        first = json.loads(page(f"{url}/state"))
        attach = [sys.executable, "-m", "gilknocker", "attach", "--seconds", "0.5"]
        with (
            subprocess.Popen(
                [*attach, "--timeout", str(TIMEOUT), str(process.pid)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as attacher,
            ThreadPoolExecutor(4) as pool,
        ):
            asked = list(pool.map(ask, range(4), [attacher] * 4))
            out, err = attacher.communicate(timeout=TIMEOUT)
        assert (attacher.returncode, err) == (0, "") and "exactly" in out and sum(asked) >= 400

        def is_as_before() -> bool:
            now = json.loads(page(f"{url}/state"))
            return {**now, **dict.fromkeys(KEPT)} == {**first, **dict.fromkeys(KEPT)}

        wait_until(is_as_before, TIMEOUT)
        assert process.poll() is None
    assert log.read_text() == ""
