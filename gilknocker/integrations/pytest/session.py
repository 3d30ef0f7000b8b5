"""The plugin while something is measured: around the bodies of tests, and when all have run."""

from __future__ import annotations

import pytest

from gilknocker.integrations.pytest.bodies import Bodies
from gilknocker.integrations.pytest.figures import attach, detach, figures_of
from gilknocker.integrations.pytest.limits import judge, too_short
from gilknocker.integrations.pytest.options import settle
from gilknocker.integrations.pytest.plan import plan_of
from gilknocker.integrations.pytest.section import Record, write_section
from gilknocker.integrations.pytest.store import write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from pluggy import Result

    from gilknocker.integrations.pytest.meter import Meter, Reading
    from gilknocker.integrations.pytest.options import Settings
    from gilknocker.integrations.pytest.plan import Plan

__all__ = ["Session", "begin"]

_NAME = "gilknocker-session"


def begin(config: pytest.Config) -> Session:
    """Return what measures in this run of pytest; from now on it does.

    Raises
    ------
    pytest.UsageError
        If every test is to be traced and none can be.
    """
    session: Session | None = config.pluginmanager.get_plugin(_NAME)
    if session is None:
        session = Session(config)
        config.pluginmanager.register(session, _NAME)
    return session


class Session:
    """A plugin of one run of pytest; under pytest-xdist of each worker, and of their controller.

    Attributes
    ----------
    settings : Settings
        The options.
    bodies : Bodies
        Where fixtures put what they give to tests.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.settings: Settings = settle(config)
        if config.option.collectonly:
            self.settings.enabled = False
        self.bodies = Bodies()
        # In a worker of pytest-xdist, which leaves the figures to its controller.
        self._is_worker = hasattr(config, "workerinput")
        self._records: dict[tuple[str, str], Record] = {}
        self._problem = ""
        # Kept from test to test, for starting and stopping cost more than two readings.
        self._meter: Meter | None = None
        self._meter_plan: Plan | None = None
        if self.settings.enabled and self.settings.method == "trace":
            _require_tracer()

    @pytest.hookimpl(hookwrapper=True, trylast=True)  # trylast: next to the body
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Result[object], None]:
        """Measure the body of a test, and judge it."""
        plan = plan_of(item, self.settings)
        if plan is None:
            self.bodies.enter(item)
            yield
            self.bodies.leave(item)
            return
        for words in filter(None, map(too_short, plan.limits)):
            item.warn(pytest.PytestWarning(words))
        meter = self._meter_for(plan)
        self.bodies.enter(item)
        meter.begin()
        outcome = yield
        reading = meter.end()
        self.bodies.leave(item)
        if not self.settings.enabled:  # the next test may be one that nobody wants to measure
            self._drop_meter()
        _take(item, plan, reading, outcome)

    @pytest.hookimpl(tryfirst=True)  # before the figures get into JUnit XML
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the figures of a test, its last run's where it was run again."""
        if self._is_worker:
            return
        figures = detach(report)
        if figures is not None and report.when == "call":
            worker = str(getattr(report, "worker_id", ""))
            self._records[worker, report.nodeid] = Record(
                report.nodeid, report.outcome, worker, figures
            )

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self._drop_meter()
        if self.settings.json is None or not self.settings.enabled or self._is_worker:
            return
        try:
            write_json(self.settings.json, self._records.values())
        except OSError as error:  # the tests have run: what they say stands
            self._problem = f"no figures in {self.settings.json!r}: {error}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the section, and limits that could not be decided."""
        write_section(terminalreporter, list(self._records.values()), self.settings)
        if self._problem:
            terminalreporter.write_line(f"gilknocker: error: {self._problem}", red=True)

    def pytest_unconfigure(self) -> None:
        """End our threads, also where a session was interrupted."""
        self._drop_meter()

    def _meter_for(self, plan: Plan) -> Meter:
        if self._meter is not None and self._meter_plan != plan:
            self._drop_meter()
        if self._meter is None:
            self._meter, self._meter_plan = plan.meter(), plan
        return self._meter

    def _drop_meter(self) -> None:
        meter, self._meter = self._meter, None
        if meter is not None:
            meter.stop()


def _take(item: pytest.Item, plan: Plan, reading: Reading, outcome: Result[object]) -> None:
    """Put the figures where others find them; let the test fail if it exceeded a limit."""
    verdicts = [judge(limit, reading) for limit in plan.limits]
    figures = figures_of(reading, verdicts)
    attach(item, figures)
    extra_info = getattr(getattr(item, "funcargs", {}).get("benchmark"), "extra_info", None)
    if isinstance(extra_info, dict):  # pytest-benchmark's fixture
        extra_info["gilknocker"] = figures
    exceeded = [verdict.message for verdict in verdicts if verdict.state == "exceeded"]
    if exceeded and outcome.exception is None:
        outcome.force_exception(pytest.fail.Exception("\n".join(exceeded), pytrace=False))


def _require_tracer() -> None:
    from gilknocker import GilTracer

    supported, reason = GilTracer.supported()
    if not supported:
        raise pytest.UsageError(f"--gilknocker-method=trace is not possible here: {reason}")
