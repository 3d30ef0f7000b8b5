"""The plugin while something is measured: around the bodies of tests, and when all have run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gilknocker.integrations.pytest.bodies import Bodies
from gilknocker.integrations.pytest.figures import attach, figures_of, forget, hidden, is_figures
from gilknocker.integrations.pytest.figures import of as figures_in
from gilknocker.integrations.pytest.limits import judge, too_short
from gilknocker.integrations.pytest.options import settle
from gilknocker.integrations.pytest.plan import plan_of
from gilknocker.integrations.pytest.section import Record, write_section
from gilknocker.integrations.pytest.store import write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from pluggy import Result

    from gilknocker._files import Target
    from gilknocker.integrations.pytest.meter import Meter, Reading
    from gilknocker.integrations.pytest.options import Settings
    from gilknocker.integrations.pytest.plan import Plan
    from gilknocker.integrations.pytest.stalls import StallsByTest

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
            self.settings.enabled, self.settings.stalls = False, None
        self.bodies = Bodies()
        self._config = config
        # In a worker of pytest-xdist, which leaves the figures to its controller. Other runners
        # give their processes the former too, and nothing to tell by.
        self._is_worker = hasattr(config, "workerinput") and hasattr(config, "workeroutput")
        self._stalls: StallsByTest | None = None
        if self.settings.stalls is not None:
            self._stalls = _stalls_by_test(self.settings.stalls, config)
        self._records: dict[tuple[str, str], Record] = {}
        self._unmeasured: list[str] = []  # tests that could not be, with the reason
        self._problem = ""
        # Now: tests may change the folder.
        self._target: Target | None = None
        measures = self.settings.enabled or self._stalls is not None
        if self.settings.json is not None and measures and not self._is_worker:
            self._target = _target(self.settings.json)
        # Kept from test to test, for starting and stopping cost more than two readings.
        self._meter: Meter | None = None
        self._meter_plan: Plan | None = None
        if self.settings.enabled and self.settings.method == "trace":
            _require_tracer()

    @pytest.hookimpl(tryfirst=True)  # before fixtures, which may replace what starts threads
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Forget an earlier run of the test, and start what will measure its body."""
        forget(item)
        if self._stalls is not None:
            self._stalls.enter(item.nodeid, "setup")
        try:
            plan = plan_of(item, self.settings)
            if plan is not None:
                self._meter_for(plan).prepare()
        except Exception:  # it is told when the body comes
            self._drop_meter()

    @pytest.hookimpl(hookwrapper=True, trylast=True)  # trylast: next to the body
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Result[object], None]:
        """Measure the body of a test, and judge it."""
        plan = plan_of(item, self.settings)
        if plan is not None:
            for words in filter(None, map(too_short, plan.limits)):
                item.warn(pytest.PytestWarning(words))
        self.bodies.enter(item)
        if self._stalls is not None:
            self._stalls.enter(item.nodeid, "call")
        meter = None if plan is None else self._begun(item, plan)
        outcome = yield
        reading = None if meter is None else self._ended(item, plan, meter)
        self.bodies.leave(item)
        if plan is not None and reading is not None:
            self._take(item, plan, reading, outcome)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)  # tryfirst: when all fixtures are gone
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """End our threads: the next test may be one that nobody wants to measure."""
        if self._stalls is not None:
            self._stalls.enter(item.nodeid, "teardown")
        yield
        if self._stalls is not None:
            self._stalls.take()
        if not self.settings.enabled:
            self._drop_meter()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)  # before the figures get into JUnit XML
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Keep the figures of a test, its last run's where it was run again."""
        if self._is_worker:
            yield
            return
        try:
            self._keep(report)
        except Exception as error:  # what others log as reports may be anything
            self._problem = f"a report could not be read: {error!r}"
        with hidden(report):
            yield

    def pytest_sessionfinish(self) -> None:
        """Write the file, or tell the controller of pytest-xdist what went wrong."""
        self._drop_meter()
        if self._stalls is not None:
            self._stalls.stop()
        if self._is_worker:
            self._config.workeroutput[_NAME] = {  # type: ignore[attr-defined]
                "unmeasured": self._unmeasured,
                "stalls": None if self._stalls is None else self._stalls.found,
                "problem": "" if self._stalls is None else self._stalls.problem,
            }
            return
        if self._target is None:
            return
        try:
            write_json(self._target, self._records.values(), self._stalls)
        except OSError as error:  # the tests have run: what they say stands
            self._problem = f"no figures in {self.settings.json!r}: {error}"
        except Exception as error:
            self._problem = f"no figures in {self.settings.json!r}: {error!r}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what went wrong in a worker of pytest-xdist."""
        told = getattr(node, "workeroutput", {}).get(_NAME)
        if told is None:
            return
        self._unmeasured += told["unmeasured"]
        if self._stalls is not None:
            self._stalls.found += told["stalls"] or []
            self._stalls.problem = self._stalls.problem or told["problem"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the section, and limits that could not be decided."""
        records = list(self._records.values())
        root = str(self._config.rootpath)
        try:
            stalls = [] if self._stalls is None else self._stalls.lines(self.settings.count, root)
            write_section(terminalreporter, records, self._unmeasured, stalls, self.settings)
        except Exception as error:  # the tests have run: what they say stands
            self._problem = self._problem or f"the section could not be written: {error!r}"
        if self._problem:
            terminalreporter.write_line(f"gilknocker: error: {self._problem}", red=True)

    def pytest_unconfigure(self) -> None:
        """End our threads, also where a session was interrupted."""
        self._drop_meter()
        if self._stalls is not None:
            self._stalls.stop()

    def _keep(self, report: pytest.TestReport) -> None:
        """Keep the figures of a test.

        They come with the report of the body, and once more with that of the teardown: a plugin
        that runs a test again may have made the former before. The outcome is asked of the report
        when all tests have run, for it may change until then.
        """
        key = str(getattr(report, "worker_id", "")), report.nodeid
        if report.when == "setup":
            self._records.pop(key, None)
            return
        figures = figures_in(report)
        if figures is None:
            return
        known = self._records.get(key)
        if report.when == "call":
            self._records[key] = Record(report.nodeid, report, key[0], figures)
        elif known is not None:
            self._records[key] = replace(known, figures=figures)

    def _begun(self, item: pytest.Item, plan: Plan) -> Meter | None:
        try:
            meter = self._meter_for(plan)
            meter.begin()
        except Exception as error:
            self._fail(item, plan, error)
            return None
        return meter

    def _ended(self, item: pytest.Item, plan: Plan | None, meter: Meter) -> Reading | None:
        try:
            return meter.end()
        except Exception as error:
            self._fail(item, plan, error)
            return None

    def _take(
        self, item: pytest.Item, plan: Plan, reading: Reading, outcome: Result[object]
    ) -> None:
        """Put the figures where others find them; let the test fail if it exceeded a limit."""
        try:
            own, root = str(item.path), str(item.config.rootpath)
            verdicts = [judge(limit, reading, own, root) for limit in plan.limits]
            figures = figures_of(reading, verdicts)
            attach(item, figures)
            extra_info = getattr(getattr(item, "funcargs", {}).get("benchmark"), "extra_info", None)
            if isinstance(extra_info, dict):  # pytest-benchmark's fixture
                known = extra_info.get("gilknocker")
                if known is None or is_figures(known):  # else it is the test's own
                    extra_info["gilknocker"] = figures
        except Exception as error:
            self._fail(item, plan, error)
            return
        exceeded = [verdict.message for verdict in verdicts if verdict.state == "exceeded"]
        if exceeded and outcome.exception is None:
            outcome.force_exception(pytest.fail.Exception("\n".join(exceeded), pytrace=False))

    def _fail(self, item: pytest.Item, plan: Plan | None, error: Exception) -> None:
        """Note that a test could not be measured, which is no fault of its own."""
        self._drop_meter()
        names = [limit.name for limit in plan.limits] if plan is not None else []
        told = ", ".join(names) or "not measured"
        self._unmeasured.append(f"{item.nodeid}: {told}: {type(error).__name__}: {error}")

    def _meter_for(self, plan: Plan) -> Meter:
        if self._meter is not None and self._meter_plan != plan:
            self._drop_meter()
        if self._meter is None:
            self._meter, self._meter_plan = plan.meter(), plan
        return self._meter

    def _drop_meter(self) -> None:
        meter, self._meter = self._meter, None
        if meter is None:
            return
        try:
            meter.stop()
        except Exception as error:
            self._problem = f"the meter could not be stopped: {error!r}"


def _target(path: str) -> Target:
    from gilknocker._files import Target

    try:
        return Target(path)
    except OSError as error:
        raise pytest.UsageError(f"--gilknocker-json cannot be {path!r}: {error}") from None


def _stalls_by_test(longer_than_ns: int, config: pytest.Config) -> StallsByTest:
    from gilknocker.integrations.pytest.stalls import StallsByTest

    worker = getattr(config, "workerinput", {}).get("workerid", "")
    return StallsByTest(longer_than_ns, worker)


def _require_tracer() -> None:
    from gilknocker import GilTracer

    supported, reason = GilTracer.supported()
    if not supported:
        raise pytest.UsageError(f"--gilknocker-method=trace is not possible here: {reason}")
