"""assert_releases_gil: one line that says whether a C function releases the GIL."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from needs import needs_gil

from gilknocker.testing import assert_releases_gil, hold_gil, release_gil


def ms(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"ms": 1, "s": 1000}[unit]


@needs_gil
def test_a_function_that_does_not() -> None:
    def native() -> None:
        release_gil(0.06)
        hold_gil(0.8, sleep=True)  # who knocks may have no CPU for half of it

    with pytest.raises(AssertionError) as caught:
        assert_releases_gil(native, max_hold="50 ms")
    first, second, *rest = str(caught.value).splitlines()
    kept = re.fullmatch(
        r".*native kept the GIL for (?:about )?([\d.]+ m?s) without a release; max_hold is 50 ms",
        first,
    )
    assert kept is not None
    assert ms(kept[1]) > 50
    call = re.fullmatch(
        r"  the call took ([\d.]+ m?s); for ([\d.]+) % of that another thread could have run",
        second,
    )
    assert call is not None
    assert ms(call[1]) >= 860
    assert 2 < float(call[2]) < 90
    assert any(re.search(r"< +10? s +1 +#", line) for line in rest)


def test_a_function_that_does() -> None:
    assert assert_releases_gil(partial(release_gil, 0.1), max_hold="80 ms") is None
    assert assert_releases_gil(lambda: 42, max_hold="2 s") == 42


def test_its_error_is_its_own() -> None:
    def fails() -> None:
        hold_gil(0.1, sleep=True)
        raise OSError("its own")

    with pytest.raises(OSError, match="its own"):
        assert_releases_gil(fails, max_hold="20 ms")


@pytest.mark.parametrize(
    ("callable", "max_hold", "error", "message"),
    [
        (42, "5 ms", TypeError, "callable must be callable without arguments, not 42"),
        (int, 5, TypeError, "max_hold must be a duration greater than 0 with its unit"),
        (int, "5", ValueError, "max_hold must be a duration greater than 0 with its unit"),
    ],
)
def test_bad_arguments(callable: Any, max_hold: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        assert_releases_gil(callable, max_hold=max_hold)


def test_it_needs_no_pytest() -> None:
    code = (
        "import sys; from gilknocker.testing import assert_releases_gil as check;"
        "check(int); print({'pytest', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == "set()\n"
