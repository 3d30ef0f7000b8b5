"""KnockKnock's arguments: what is allowed, what it becomes, what each refusal says."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilknocker import KnockKnock
from gilknocker.meters.arguments import CONTENDED_AFTER_NS, MAX_MICROS, Settings, settle

MAX_NS = 2**63 - 1
INTERVALS = (
    "interval_micros",
    "knock_interval_micros",
    "polling_interval_micros",
    "sampling_interval_micros",
    "sleeping_interval_micros",
)


def test_the_defaults() -> None:
    assert settle() == Settings(
        interval_ns=1_000_000,
        dense_start=0,
        knock_interval_ns=10_000_000,
        knocks_per_burst=0,
        burst_rest_ns=0,
        late_after_ns=100_000,
        contended_after_ns=CONTENDED_AFTER_NS,
        log_capacity=1_048_576,
        timeout_ns=1_000_000_000,
    )
    assert settle(**dict.fromkeys((*INTERVALS, "timeout_secs", "timeout_micros"))) == settle()


def test_knocks_default_to_a_tenth_of_the_looks() -> None:
    assert settle(interval_micros=70).knock_interval_ns == 700_000
    settings = settle(interval_micros=70, knock_interval_micros=3)
    assert (settings.interval_ns, settings.knock_interval_ns) == (70_000, 3_000)


@pytest.mark.parametrize(("micros", "late_after_ns"), [(1, 50_000), (500, 50_000), (2000, 200_000)])
def test_late_is_a_tenth_of_the_interval_or_50_us(micros: int, late_after_ns: int) -> None:
    assert settle(interval_micros=micros).late_after_ns == late_after_ns


@pytest.mark.parametrize(
    ("arguments", "interval", "knock_interval", "knocks", "rest"),
    [
        ({"polling_interval_micros": 1000}, 5_000, 1_000, 10, 190_000),
        ({"polling_interval_micros": 7000}, 7_000, 7_000, 10, 1_330_000),
        ({"polling_interval_micros": 1}, 5_000, 1, 10, 190),
        ({"polling_interval_micros": 7000, "interval_micros": 300}, 300, 7_000, 10, 1_330_000),
        ({"sampling_interval_micros": 5000}, 5_000, 1_000, 5, 195_000),
        ({"sampling_interval_micros": 5999}, 5_000, 1_000, 5, 195_000),
        ({"sampling_interval_micros": 1}, 5_000, 1_000, 1, 199_000),
        ({"sleeping_interval_micros": 3}, 5_000, 1_000, 10, 5),
        # A burst that is longer than a rest: the next one begins in the second rest after it.
        ({"sampling_interval_micros": 250_000}, 5_000, 1_000, 250, 150_000),
        ({"sampling_interval_micros": 200_000}, 5_000, 1_000, 200, 200_000),
        # A burst of one knock that outlasts its rests.
        ({"sampling_interval_micros": 1, "sleeping_interval_micros": 1}, 5_000, 1_000, 1, 0),
        ({"sampling_interval_micros": 900, "sleeping_interval_micros": 9}, 5_000, 1_000, 1, 0),
    ],
)
def test_the_schedule_of_0_4(
    arguments: dict[str, int], interval: int, knock_interval: int, knocks: int, rest: int
) -> None:
    settings = settle(**arguments)
    assert settings.interval_ns == interval * 1_000
    assert settings.knock_interval_ns == knock_interval * 1_000
    assert settings.knocks_per_burst == knocks
    assert settings.burst_rest_ns == rest * 1_000


@pytest.mark.parametrize(
    ("arguments", "first_micros"),
    [
        ({"polling_interval_micros": 1}, 78.125),
        ({"polling_interval_micros": 100}, 78.125),
        ({"polling_interval_micros": 160}, 156.25),
        ({"polling_interval_micros": 1000}, 625),
        ({"sampling_interval_micros": 1}, 625),
        ({"polling_interval_micros": 2500}, 2500),
        ({"polling_interval_micros": 5000}, 5000),
        ({"polling_interval_micros": 7000}, 7000),
        ({"polling_interval_micros": 1, "interval_micros": 4000}, 4000),  # as was asked for
        ({"interval_micros": 4000}, 4000),
    ],
)
def test_looks_begin_as_densely_as_polls_were_asked_for(
    arguments: dict[str, int], first_micros: float
) -> None:
    settings = settle(**arguments)
    assert settings.interval_ns / 2**settings.dense_start == first_micros * 1_000


@pytest.mark.parametrize(
    ("arguments", "timeout_ns"),
    [
        ({"timeout_secs": 0}, 0),
        ({"timeout_secs": 0.0}, 0),
        ({"timeout_secs": 0.25}, 250_000_000),
        ({"timeout_secs": np.float32(0.5)}, 500_000_000),
        ({"timeout_secs": np.int64(2)}, 2_000_000_000),
        ({"timeout_secs": Fraction(1, 4)}, 250_000_000),
        ({"timeout_secs": 9_223_372_036}, 9_223_372_036_000_000_000),
        ({"timeout_micros": 0}, 0),
        ({"timeout_micros": 1500}, 1_500_000),
        ({"timeout_micros": np.uint8(7)}, 7_000),
        ({"timeout_micros": MAX_MICROS}, MAX_MICROS * 1_000),
    ],
)
def test_timeouts(arguments: dict[str, Any], timeout_ns: int) -> None:
    assert settle(**arguments).timeout_ns == timeout_ns


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("kind", [np.int16, np.uint64, int])
def test_integers_of_every_kind_are_intervals(name: str, kind: type) -> None:
    assert settle(**{name: kind(20)}) == settle(**{name: 20})
    assert all(type(value) is int for value in settle(**{name: kind(20)}))


def test_the_limits_of_an_interval_are_allowed() -> None:
    limits = {"interval_micros": MAX_MICROS, "knock_interval_micros": MAX_MICROS}
    assert max(settle(**limits)) == MAX_MICROS * 1_000
    assert settle(**dict.fromkeys(limits, 1)).interval_ns == 1_000
    assert settle(**dict.fromkeys(INTERVALS[2:], 1)).burst_rest_ns == 2_000
    longest = settle(polling_interval_micros=MAX_MICROS // 200)
    assert longest.burst_rest_ns == MAX_MICROS // 200 * 190_000


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (-1, "-1"),
        (np.int64(-5), "-5"),
        (MAX_MICROS + 1, str(MAX_MICROS + 1)),
        (2**64, str(2**64)),
        pytest.param(10**5000, "an integer of 16610 bits", id="huge"),
    ],
)
def test_an_interval_out_of_range_is_refused(name: str, value: int, words: str) -> None:
    message = f"{name} must be an integer (microseconds) from 1 to {MAX_MICROS}, not {words}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        settle(**{name: value})


@pytest.mark.parametrize("name", [*INTERVALS, "timeout_micros"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "True"),
        (np.True_, "np.True_" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "True"),
        (1000.0, "1000.0"),
        (math.nan, "nan"),
        ("1000", "'1000'"),
        ("1" * 50, f"'{'1' * 40}'..."),
        (b"1000", "b'1000'"),
        ([1000], "a list of 1"),
        (Fraction(1000), "Fraction(1000, 1)"),
        (1j, "1j"),
    ],
)
def test_an_interval_that_is_no_integer_is_refused(name: str, value: Any, words: str) -> None:
    least = 0 if name == "timeout_micros" else 1
    message = f"{name} must be an integer (microseconds) from {least} to {MAX_MICROS}, not {words}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        settle(**{name: value})


@pytest.mark.parametrize("value", [-1, MAX_MICROS + 1])
def test_a_timeout_in_micros_out_of_range_is_refused(value: int) -> None:
    message = (
        f"timeout_micros must be an integer (microseconds) from 0 to {MAX_MICROS}, not {value}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        settle(timeout_micros=value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1, "-1"),
        (-1e-300, "-1e-300"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1e300, "1e+300"),
        (9_223_372_037, "9223372037"),
        pytest.param(10**400, "an integer of 1329 bits", id="huge"),
        pytest.param(Fraction(10**400, 3), "Fraction(", id="huge-fraction"),
    ],
)
def test_a_timeout_out_of_range_is_refused(value: float, words: str) -> None:
    message = f"timeout_secs must be a real number (seconds) from 0 to 9.2e9, not {words}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        settle(timeout_secs=value)


@pytest.mark.parametrize("value", ["1", True, [1], 1j, Decimal(1)])
def test_a_timeout_that_is_no_real_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^timeout_secs must be a real number \(seconds\) from 0 "):
        settle(timeout_secs=value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"timeout_secs": 1, "timeout_micros": 1},
            "timeout_secs and timeout_micros cannot be combined",
        ),
        (
            {"knock_interval_micros": 1, "polling_interval_micros": 1},
            "knock_interval_micros cannot be combined with polling_interval_micros",
        ),
        (
            {"knock_interval_micros": 1, "sampling_interval_micros": 1},
            "knock_interval_micros cannot be combined with .*sampling_interval_micros",
        ),
        (
            {"knock_interval_micros": 1, "sleeping_interval_micros": 1},
            "knock_interval_micros cannot be combined with .*sleeping_interval_micros",
        ),
    ],
)
def test_two_spellings_of_one_thing_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        settle(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"interval_micros": MAX_MICROS},
            f"interval_micros must be at most {MAX_MICROS // 10}, not {MAX_MICROS}, unless the "
            "default knock_interval_micros",
        ),
        (
            {"polling_interval_micros": MAX_MICROS},
            f"polling_interval_micros must be at most {MAX_MICROS // 10}",
        ),
        (
            {"polling_interval_micros": MAX_MICROS // 20},
            f"polling_interval_micros must be at most {MAX_MICROS // 200}",
        ),
        (
            {"sampling_interval_micros": MAX_MICROS},
            "sampling_interval_micros and twice sleeping_interval_micros must together be at most",
        ),
        (
            {"sleeping_interval_micros": MAX_MICROS},
            "sampling_interval_micros and twice sleeping_interval_micros must together be at most",
        ),
    ],
)
def test_what_is_derived_must_fit_too(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settle(**arguments)


@given(
    st.dictionaries(
        st.sampled_from([*INTERVALS, "timeout_secs", "timeout_micros"]),
        st.integers(-2, 2**66)
        | st.integers(-2, 2000)
        | st.floats()
        | st.booleans()
        | st.text(max_size=3)
        | st.none(),
    )
)
def test_settings_fit_or_the_refusal_names_an_argument(arguments: dict[str, Any]) -> None:
    try:
        settings = settle(**arguments)
    except (TypeError, ValueError) as error:
        assert any(name in str(error) for name in arguments)
    else:
        assert all(type(value) is int and 0 <= value <= MAX_NS for value in settings)
        assert settings.interval_ns > 0 < settings.knock_interval_ns
        burst = settings.knocks_per_burst * settings.knock_interval_ns
        assert burst + settings.burst_rest_ns <= MAX_NS


def test_a_refused_argument_starts_nothing() -> None:
    """Every case above is one of KnockKnock too, before a thread of ours can exist."""
    bad: list[dict[str, Any]] = [
        {"interval_micros": 0},
        {"timeout_secs": -1},
        {"timeout_micros": "1"},
    ]
    for arguments in bad:
        with pytest.raises((TypeError, ValueError), match=next(iter(arguments))):
            KnockKnock(**arguments)


def test_only_the_first_two_are_positional() -> None:
    knocker = KnockKnock(2000, 0.5)
    assert (knocker.interval_micros, knocker.timeout_secs) == (2000, 0.5)
    with pytest.raises(TypeError, match="positional argument"):
        KnockKnock(2000, 0.5, 3)  # type: ignore[call-arg]
