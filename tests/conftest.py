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

settings.register_profile("default", deadline=None)  # a deadline here measures the machine
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

FAILED = pytest.StashKey[bool]()
PATIENCE = 2.0  # seconds that a thread told to end may take, on a busy machine


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


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves one of our threads or, under the debug build, one of our objects."""
    yield
    if request.node.stash.get(FAILED, False):
        return  # the traceback holds on to the test's objects
    deadline = time.monotonic() + PATIENCE
    while left := _left_behind():
        gc.collect()
        if time.monotonic() > deadline:
            pytest.fail(f"the test left behind: {left}")
        time.sleep(0.001)


def _left_behind() -> dict[str, int]:
    left: dict[str, int] = {}
    for comm in Path("/proc/self/task").glob("*/comm"):
        try:
            name = comm.read_text().strip()
        except OSError:  # it ended meanwhile
            continue
        if name.startswith("gilknock"):
            left[f"thread {name}"] = left.get(f"thread {name}", 0) + 1
    core = sys.modules.get("gilknocker._core")  # a test that has not imported it has left nothing
    if core is not None and core.DEBUG:
        left |= {kind: count for kind, count in core.live_objects().items() if count}
    return left
