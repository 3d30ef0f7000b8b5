"""`gilknocker run --children` over gunicorn: its workers are in the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs_gil
from service import free_port, page, service

pytest.importorskip("gunicorn")
pytest.importorskip("gilknocker._outside")

APP = """
import os, time
def app(environ, start_response):
    end = time.process_time() + 0.003
    while time.process_time() < end: pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
WORKERS = 4


@needs_gil
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_of_gunicorn(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    address = f"127.0.0.1:{free_port()}"
    report, log = tmp_path / "r.json", tmp_path / "log"
    command = [sys.executable, "-m", "gilknocker", "run", "--children", "--json", report]
    command += ["-m", "gunicorn", "-w", str(WORKERS), "-b", address]
    command += ["--chdir", str(tmp_path), "app:app"]
    url = f"http://{address}/"
    with service(command, url, log) as process:
        answers = [page(url) for _ in range(500)]
        process.terminate()
        try:
            assert process.wait(60) == 0, log.read_text()
        except subprocess.TimeoutExpired:
            pytest.fail(log.read_text())
    stored = json.loads(report.read_text())
    arbiter, *workers = stored["processes"]
    assert arbiter["exit_status"] == 0 and not arbiter["forked"]
    assert len(workers) == WORKERS and all(one["forked"] for one in workers)
    assert all(one["ppid"] == arbiter["pid"] and one["exit_status"] == 0 for one in workers)
    # Who answered is in the table, and those that answered most held it longest.
    by_pid = {str(one["pid"]): one["snapshot"]["held_ns"] / 1e9 for one in workers}
    assert set(answers) <= set(by_pid)
    for pid, held in by_pid.items():
        assert held > 0.8 * 0.003 * answers.count(pid)
    assert f"fork of {arbiter['pid']}" in log.read_text()
