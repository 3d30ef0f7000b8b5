"""The pytest plugin: fixtures, limits and ``--gilknocker``. Inert until used. PYTEST_DONT_REWRITE.

pytest loads this module at start-up wherever gilknocker is installed. What measures, and with it
compiled code, is imported when the first test asks for it; all that is done for tests that do not
ask is a look at their marks. docs/pytest.md is for users; ``gilknocker.integrations.pytest`` has
the rest.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilknocker import GilTracer, KnockKnock

# Those that are to be measured; gil_knocker is here for its values to be checked.
MARKS = frozenset({"limit_gil_hold", "limit_gil_wait", "limit_gil_contention", "gil_knocker"})


@pytest.fixture
def gil_knocker(request: pytest.FixtureRequest) -> Iterator[KnockKnock]:
    """Run a :class:`gilknocker.KnockKnock` while the body of the test does.

    ``@pytest.mark.gil_knocker(interval_micros=100)`` sets its intervals.
    """
    from gilknocker.integrations.pytest.fixtures import knocker

    yield from knocker(request)


@pytest.fixture
def gil_tracer(request: pytest.FixtureRequest) -> Iterator[GilTracer]:
    """Run a :class:`gilknocker.GilTracer` while the body of the test does; skip if unsupported."""
    from gilknocker.integrations.pytest.fixtures import tracer

    yield from tracer(request)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini keys."""
    from gilknocker.integrations.pytest.options import declare

    declare(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, check the options, and begin if they ask for it."""
    from gilknocker.integrations.pytest.options import MARKERS, settle

    for line in MARKERS:
        config.addinivalue_line("markers", line)
    settings = settle(config)
    if settings.enabled or settings.stalls is not None:
        _begin(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to the workers of pytest-xdist: which of their tests are measured, only they know."""
    if session.config.pluginmanager.hasplugin("dsession"):
        _begin(session.config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin if a test that will run is marked, and check the values of its marks now.

    Not so in a worker of pytest-xdist, which could not tell: there such a test fails.
    """
    clean: set[pytest.Collector] = set()
    marked = [item for item in session.items if _is_marked(item, clean)]
    if not marked:
        return
    if not hasattr(session.config, "workerinput"):
        from gilknocker.integrations.pytest.marks import check

        check(marked)
    _begin(session.config)


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin if one of the fixtures, which have been set up by now, has marked the test."""
    if item.own_markers and not MARKS.isdisjoint([mark.name for mark in item.own_markers]):
        _begin(item.config)


def _is_marked(item: pytest.Item, clean: set[pytest.Collector]) -> bool:
    """Whether it, or what it is in, has one of our marks; `clean` remembers what has none."""
    node: pytest.Item | pytest.Collector | None = item
    seen = []
    while node is not None and node not in clean:
        if node.own_markers and not MARKS.isdisjoint([mark.name for mark in node.own_markers]):
            return True
        node = node.parent
        if node is not None:
            seen.append(node)
    clean.update(seen)
    return False


def _begin(config: pytest.Config) -> None:
    from gilknocker.integrations.pytest.session import begin

    begin(config)
