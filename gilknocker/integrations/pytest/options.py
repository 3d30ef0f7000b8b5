"""The options of the plugin: command line over environment over ini file.

Each has one name in three spellings: ``--gilknocker-sort``, ``PYTEST_GILKNOCKER_SORT`` and
``gilknocker_sort``. pytest reads these at every start: import nothing here that it has not loaded.
PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from gilknocker._checks import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MARKERS", "METHODS", "SORTS", "Option", "Settings", "choose", "declare", "settle"]

METHODS = ("auto", "knock", "trace")
SORTS = ("held", "hold", "wait")
# So that ten times that, the interval of knocks, still fits in 64-bit ns.
MAX_INTERVAL_MICROS = (2**63 - 1) // 10_000
MAX_COUNT = 1_000_000_000

MARKERS = (
    "gil_knocker(*, interval_micros=None, knock_interval_micros=None, method=None): how the "
    "fixture gil_knocker, --gilknocker and limits measure this test (gilknocker).",
    "limit_gil_hold(limit): fail if the GIL is held for longer than that without a release, "
    "limit_gil_hold('50 ms') (gilknocker).",
    "limit_gil_wait(limit, percentile=99): fail if this percentile of the waits for the GIL is "
    "longer, limit_gil_wait('20 ms') (gilknocker).",
    "limit_gil_contention(limit): fail if the GIL is held for a larger share of the time, "
    "limit_gil_contention(0.5) (gilknocker).",
)


class Option(SimpleNamespace):
    """One option.

    Attributes
    ----------
    name : str
        As in the ini file.
    default : object
        What it is where nobody says anything.
    help : str
        For ``pytest --help``.
    metavar : str
        What stands for its value there.
    allowed : str
        What its value may be, in words.
    read : callable
        Returns the value of a text, or raises ValueError.
    """

    name: str
    default: object
    help: str
    metavar: str
    allowed: str
    read: Callable[[str], object]

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "PYTEST_" + self.name.upper()


class Settings(SimpleNamespace):
    """What all sources together ask for.

    Attributes
    ----------
    enabled : bool
        Whether every test is measured.
    sort : {"held", "hold", "wait"}
        What the section is sorted by.
    count : int
        How many tests it has; 0 for all.
    interval_micros : int or None
        The mean interval of looks.
    method : {"auto", "knock", "trace"}
        What measures.
    json : str or None
        Where to write all figures.
    limits : bool
        Whether tests must keep to the limits that they are marked with.
    stalls : int or None
        From which length on stalls are told of, ns; None for not at all.
    """

    enabled: bool
    sort: str
    count: int
    interval_micros: int | None
    method: str
    json: str | None
    limits: bool
    stalls: int | None


def _switch(text: str) -> bool:
    for words, value in ((("1", "true", "yes", "on"), True), (("0", "false", "no", "off"), False)):
        if text.lower() in words:
            return value
    raise ValueError


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read


def _integer(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # int() alone takes "1_000", " 7 " and thousands of digits.
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
            raise ValueError
        if not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return read


def _path(text: str) -> str:
    if not text or os.path.isdir(text) or not os.path.isdir(os.path.dirname(os.path.abspath(text))):
        raise ValueError
    return text


def _tolerance(text: str) -> int:
    from gilknocker.meters.stall_watch import checked_tolerance  # only where it will be used

    return checked_tolerance("", text)


OPTIONS = (
    Option(
        name="gilknocker",
        default=False,
        help="measure the use of the GIL in every test, and report",
        metavar="",
        allowed="true or false (also 1, yes, on, 0, no, off)",
        read=_switch,
    ),
    Option(
        name="gilknocker_sort",
        default="held",
        help="what the tests are sorted by: the share of time that the GIL was held (the default), "
        "the longest hold, or the longest wait",
        metavar="{held,hold,wait}",
        allowed="held, hold or wait",
        read=_one_of(SORTS),
    ),
    Option(
        name="gilknocker_count",
        default=10,
        help="how many tests to report (10; 0 for all)",
        metavar="N",
        allowed=f"an integer from 0 to {MAX_COUNT}",
        read=_integer(0, MAX_COUNT),
    ),
    Option(
        name="gilknocker_interval_micros",
        default=None,
        help="look at the GIL every N microseconds (1000), and knock a tenth as often",
        metavar="N",
        allowed=f"an integer from 1 to {MAX_INTERVAL_MICROS}",
        read=_integer(1, MAX_INTERVAL_MICROS),
    ),
    Option(
        name="gilknocker_method",
        default="auto",
        help="knock: sample; trace: see every hold exactly, where that is supported; auto: both "
        "where supported (the default)",
        metavar="{auto,knock,trace}",
        allowed="auto, knock or trace",
        read=_one_of(METHODS),
    ),
    Option(
        name="gilknocker_json",
        default=None,
        help="write the figures of all tests to PATH (gilknocker's docs/pytest.md)",
        metavar="PATH",
        allowed="the path of a file in a folder that exists",
        read=_path,
    ),
    Option(
        name="gilknocker_limits",
        default=True,
        help="off: judge no test by the limits that it is marked with (on)",
        metavar="{on,off}",
        allowed="on or off (also 1, true, yes, 0, false, no)",
        read=_switch,
    ),
    Option(
        name="gilknocker_stalls",
        default=None,
        help="tell which tests keep the GIL from all other threads for longer, and in which line",
        metavar="DURATION",
        allowed="a duration from 10 ms to 3600 s with its unit, such as 200ms",
        read=_tolerance,
    ),
)


def declare(parser: pytest.Parser) -> None:
    """Add the options to pytest's."""
    group = parser.getgroup("gilknocker", "use of the GIL (gilknocker)")
    for option in OPTIONS:
        parser.addini(option.name, f"{option.flag}: {option.help}", default=None)
        if option.metavar:
            group.addoption(option.flag, metavar=option.metavar, default=None, help=option.help)
        else:
            group.addoption(option.flag, action="store_const", const="true", help=option.help)
    group.addoption(
        "--no-gilknocker",
        action="store_const",
        const="false",
        dest="gilknocker",
        help="do not, whatever the environment and the ini file say; limits are checked, but for "
        "--gilknocker-limits=off",
    )


def choose(
    option: Option,
    *,
    command: str | None,
    environment: Mapping[str, str],
    ini: str | None,
) -> object:
    """Return the value of an option from the source that goes first.

    Parameters
    ----------
    option : Option
        Which.
    command, ini : str or None
        What the command line and the ini file say, None for nothing. Empty in the ini file, or in
        the environment, is nothing too.
    environment : mapping of str to str
        All of it.

    Raises
    ------
    pytest.UsageError
        If that value is bad.
    """
    sources = (
        (option.flag, command),
        (option.variable, environment.get(option.variable) or None),
        (f"{option.name} (ini file)", ini or None),
    )
    for spelling, text in sources:
        if text is None:
            continue
        try:
            return option.read(text)
        except ValueError:
            raise pytest.UsageError(
                f"{spelling} must be {option.allowed}, not {shown(text)}"
            ) from None
    return option.default


def _in_ini(config: pytest.Config, option: Option) -> str | None:
    """Return what the ini file says; a text, also in ``[tool.pytest]``, which has other values.

    A type other than a text, which pytest 9 asks for there, pytest 8 does not know or reads
    differently.
    """
    try:
        text: str | None = config.getini(option.name)
    except (TypeError, pytest.UsageError) as error:  # which of them, is up to pytest's version
        raise pytest.UsageError(f"{error}: write it in quotes") from None
    return text


def settle(config: pytest.Config) -> Settings:
    """Return what is asked for.

    Raises
    ------
    pytest.UsageError
        If a value is bad, or an option is of no use without --gilknocker.
    """
    values = {
        option.name: choose(
            option,
            command=config.getoption(option.name),
            environment=os.environ,
            ini=_in_ini(config, option),
        )
        for option in OPTIONS
    }
    settings = Settings(
        enabled=values.pop("gilknocker"),
        **{name.removeprefix("gilknocker_"): value for name, value in values.items()},
    )
    measures = settings.enabled or settings.stalls is not None
    if config.getoption("gilknocker_json") is not None and not measures:
        raise pytest.UsageError(
            "--gilknocker-json needs --gilknocker or --gilknocker-stalls: nothing would be measured"
        )
    return settings
