"""What every test gets: the tests' own modules on the path, and a look for what it left behind."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# --import-mode=importlib puts nothing on the path, and the tests share modules.
sys.path.insert(0, str(Path(__file__).parent))

from bounds import deadline, ordinary_signals
from left import Left

settings.register_profile("default", deadline=None)  # a deadline here measures the machine
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

FAILED = pytest.StashKey[bool]()
PATIENCE = 60.0  # seconds that a thread told to end may take, on a busy machine
MOST_SECONDS = 900  # of one test; the slowest takes a tenth of it


@pytest.fixture(autouse=True, scope="session")
def away_from_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Go to an empty folder: a `python -c` that a test starts looks for packages where it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@pytest.fixture(autouse=True, scope="session")
def children_have_ordinary_signals() -> Iterator[None]:
    """Set what children would inherit: a shell ignores SIGINT in the background, nohup SIGHUP.

    A handler that does nothing ignores a signal as well, and is no longer there in a new program.
    """
    with ordinary_signals():
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Fail a test that waits without an end: the main thread is interrupted, as by Ctrl-C."""
    with deadline(MOST_SECONDS):
        return (yield)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a child or a tracer; one of our objects, if debugging."""
    before = Left()
    yield
    until = time.monotonic() + PATIENCE
    # The traceback of one that failed holds on to its objects.
    while not request.node.stash.get(FAILED, False) and (left := before.more()):
        gc.collect()
        if time.monotonic() > until:
            before.end_children()
            pytest.fail(f"the test left behind: {left}")
        time.sleep(0.001)
    # Of one that failed: they may disturb the next.
    before.end_meters()
    before.end_children()
