"""`gilknocker run --children` over services that fork: their workers are in the table."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from needs import needs_gil
from service import free_port, page, service
from waiting import wait_until

pytest.importorskip("celery")
pytest.importorskip("gunicorn")
pytest.importorskip("gilknocker._outside")

pytestmark = [needs_gil, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

APP = """
import os, time
def app(environ, start_response):
    end = time.process_time() + 0.003
    while time.process_time() < end: pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
TASKS = """
import os, time
from celery import Celery
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}
@app.task
def work():
    end = time.process_time() + 0.05
    while time.process_time() < end: pass
    with open("done", "a") as file:
        print(os.getpid(), file=file)
"""
WORKERS = 4


def table(report: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the row of the process that forked, and how long each worker held its GIL, s."""
    parent, *workers = json.loads(report.read_text())["processes"]
    assert parent["exit_status"] == 0 and not parent["forked"]
    assert len(workers) == WORKERS and all(one["forked"] for one in workers)
    assert all(one["ppid"] == parent["pid"] and one["exit_status"] == 0 for one in workers)
    return parent, {str(one["pid"]): one["snapshot"]["held_ns"] / 1e9 for one in workers}


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
    arbiter, held_by = table(report)
    # Who answered is in the table, and those that answered most held it longest.
    assert set(answers) <= set(held_by)
    for pid, held in held_by.items():
        assert held > 0.8 * 0.003 * answers.count(pid)
    assert f"fork of {arbiter['pid']}" in log.read_text()


def test_workers_of_celery(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    report, done, log = tmp_path / "r.json", tmp_path / "done", tmp_path / "log"
    ask = "import tasks\nfor _ in range(40): tasks.work.delay()"
    subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, check=True, timeout=60)
    command = [sys.executable, "-m", "gilknocker", "run", "--children", "--json", str(report)]
    command += ["-m", "celery", "-A", "tasks", "worker", "-c", str(WORKERS), "--pool", "prefork"]
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        ) as process,
    ):
        try:
            wait_until(lambda: done.exists() and len(done.read_text().splitlines()) == 40)
            process.terminate()
            status = process.wait(60)
        finally:
            process.kill()
    assert status == 0, log.read_text()
    _, held_by = table(report)
    tasks = Counter(done.read_text().split())
    assert set(tasks) <= set(held_by)
    for pid, count in tasks.items():
        assert held_by[pid] > 0.8 * 0.05 * count
