"""Debian's Prometheus scrapes a uvicorn and a gunicorn service; what its queries answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from needs import needs_tracer
from service import free_port, page, service
from waiting import wait_until

for name in ("prometheus_client", "fastapi", "uvicorn", "gunicorn"):
    pytest.importorskip(name)
if not (shutil.which("prometheus") and shutil.which("promtool")):
    pytest.skip("no Prometheus (Debian: apt-get install prometheus)", allow_module_level=True)

pytestmark = needs_tracer

HERE = Path(__file__).parent
# Beside the tests in a checkout; a stage of CI copies them to the same places.
DOCS = HERE.parents[1] / "docs"
WINDOW = 15  # seconds of scrapes that a query looks back over
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - {{job_name: uvicorn, metrics_path: /metrics/, static_configs: [{{targets: ['{uvicorn}']}}]}}
  - {{job_name: gunicorn, static_configs: [{{targets: ['{gunicorn}']}}]}}
"""


class Services(NamedTuple):
    prometheus: str
    uvicorn: str
    gunicorn: str
    gunicorn_pid: int

    def query(self, promql: str) -> dict[str, float]:
        """Return the answer by job."""
        answer = page(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': promql})}")
        result = json.loads(answer)["data"]["result"]
        return {one["metric"].get("job", ""): float(one["value"][1]) for one in result}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    where = tmp_path_factory.mktemp("services")
    (where / "multiproc").mkdir()
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("uvicorn", "gunicorn", "prometheus")}
    (where / "prometheus.yml").write_text(CONFIGURATION.format(**ports))
    app, conf = HERE / "apps", HERE / "apps" / "gunicorn.conf.py"
    host, port = ports["uvicorn"].split(":")
    uvicorn = [*("-m", "uvicorn", "uvicorn_app:app", "--host", host, "--port", port)]
    uvicorn += ["--app-dir", str(app), "--log-level", "warning"]
    gunicorn = [*("-m", "gunicorn", "--bind", ports["gunicorn"], "--workers", "4")]
    gunicorn += ["--chdir", str(app), "--config", str(conf), "gunicorn_app:app"]
    gunicorn += ["--worker-tmp-dir", str(where), "--no-control-socket"]
    with (
        service(
            [sys.executable, *uvicorn], f"http://{ports['uvicorn']}/metrics/", where / "uvicorn.log"
        ),
        service(
            [sys.executable, *gunicorn],
            f"http://{ports['gunicorn']}/",
            where / "gunicorn.log",
            PROMETHEUS_MULTIPROC_DIR=str(where / "multiproc"),
        ) as master,
        service(
            [
                "prometheus",
                f"--config.file={where / 'prometheus.yml'}",
                f"--storage.tsdb.path={where / 'data'}",
                f"--web.listen-address={ports['prometheus']}",
                "--log.level=warn",
            ],
            f"http://{ports['prometheus']}/-/ready",
            where / "prometheus.log",
        ),
    ):
        urls = {name: f"http://{port}" for name, port in ports.items()}
        ready = Services(**urls, gunicorn_pid=master.pid)
        wait_until(lambda: set(ready.query("python_gil_held_seconds_total")) >= {"uvicorn"}, 20)
        time.sleep(WINDOW)
        yield ready


def fraction(held: str, observed: str) -> str:
    return f"rate({held}_total[{WINDOW}s]) / rate({observed}_total[{WINDOW}s])"


def test_the_held_fraction_is_right_within_0_02(services: Services) -> None:
    ours = services.query(fraction("python_gil_held_seconds", "python_gil_observed_seconds"))
    exact = services.query(fraction("exact_held_seconds", "exact_seconds"))
    print(ours, exact)
    assert set(ours) == set(exact) == {"uvicorn", "gunicorn"}
    for job, truth in exact.items():
        assert 0.2 < truth < 0.6  # the load ran
        assert abs(ours[job] - truth) <= 0.02, job


def test_all_workers_are_counted(services: Services) -> None:
    seen = services.query(f"rate(python_gil_observed_seconds_total[{WINDOW}s])")
    assert seen["uvicorn"] == pytest.approx(1, abs=0.1)
    assert seen["gunicorn"] == pytest.approx(4, abs=0.4)


def test_a_median_wait_is_where_the_load_puts_it(services: Services) -> None:
    """The GIL is free more than half of the time, and holds are 6 to 8 ms long."""
    for p, least, most in ((0.5, 0, 0.001), (0.95, 0.001, 0.07)):
        answer = services.query(
            f"histogram_quantile({p}, sum by (le, job) "
            f'(rate(python_gil_wait_seconds_bucket{{source="knock"}}[{WINDOW}s])))'
        )
        assert set(answer) == {"uvicorn", "gunicorn"}
        assert all(least <= seconds <= most for seconds in answer.values()), (p, answer)


def test_promtool_has_nothing_to_say(services: Services) -> None:
    for url in (f"{services.uvicorn}/metrics/", f"{services.gunicorn}/metrics"):
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=page(url),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_workers_that_die_or_are_recycled_change_no_counter(services: Services) -> None:
    def workers() -> set[int]:
        children = Path(f"/proc/{services.gunicorn_pid}/task/{services.gunicorn_pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    def replaced(victim: int) -> bool:
        now = workers()
        return len(now) == 4 and victim not in now

    # Not one that has just begun: it has its master's handlers of signals still.
    victims = sorted(workers())[:2]
    for number, victim in zip((signal.SIGKILL, signal.SIGTERM), victims, strict=True):
        counted = counters(f"{services.gunicorn}/metrics")
        os.kill(victim, number)
        wait_until(partial(replaced, victim), 20)
        after = counters(f"{services.gunicorn}/metrics")
        assert all(after[name] >= value for name, value in counted.items())
    time.sleep(2)  # two scrapes
    seen = services.query('resets(python_gil_observed_seconds_total{job="gunicorn"}[1m])')
    assert seen == {"gunicorn": 0}
    # Four workers gave at most four seconds a second: nobody was counted twice.
    growth = services.query("max_over_time(rate(python_gil_observed_seconds_total[5s])[20s:1s])")
    assert growth["gunicorn"] < 4.9


def counters(url: str) -> dict[str, float]:
    lines = [line for line in page(url).splitlines() if line.startswith("python_gil_")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs here")
def test_what_the_dashboard_asks_is_answered(services: Services) -> None:
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) >= 4
    for expression in asked:
        filled = re.sub(r"\$\w+", lambda found: {"$__rate_interval": "15s"}[found[0]], expression)
        answers = services.query(filled)
        assert set(answers) == {"uvicorn", "gunicorn"}, expression
        assert all(0 <= value < 100 for value in answers.values()), (expression, answers)


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs here")
def test_what_the_manual_says_to_write(services: Services, tmp_path: Path) -> None:
    manual = (DOCS / "prometheus.md").read_text()
    rules = blocks(manual, "yaml")
    assert len(rules) == 1
    (tmp_path / "rules.yml").write_text(rules[0])
    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yml"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert "3 rules found" in done.stdout
    for query in blocks(manual, "promql"):
        assert set(services.query(query.replace("1m", "15s").replace("5m", "15s"))) == {
            "uvicorn",
            "gunicorn",
        }
    configuration = (HERE / "apps" / "gunicorn.conf.py").read_text().partition('"""\n\n')[2]
    assert configuration in blocks(manual, "python"), "the tested configuration is not the manual's"


def blocks(manual: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", manual, re.DOTALL)
