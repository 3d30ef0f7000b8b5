"""A snapshot as a dictionary for JSON, and back with every value checked."""

from __future__ import annotations

import math

from gilknocker._checks import shown, stored_count, stored_list
from gilknocker.snapshot import stacks_as_dict
from gilknocker.snapshot.fields import (
    COUNTS,
    FIELDS,
    INSTANTS,
    INTERVALS,
    ORIGIN,
    SETTINGS,
    TRACED,
)
from gilknocker.snapshot.histogram import WaitHistogram
from gilknocker.snapshot.raw_waits import RawWaits, StoredWaits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilknocker.snapshot.value import Snapshot

FORMAT = "gilknocker.snapshot"
VERSION = 1

_METHODS = ("count", "look", "knock", "trace", "outside")
_CLOCKS = ("tsc", "cntvct", "clock_gettime")
_MERGED = ("held_seconds", "enabled_seconds", "squared_seconds_per_tick")
_WAITS = ("first_sequence", "wait_ns", "knock_ns")
_HOLDER = ("native_id", "serial", "name", "held")
_LOOKS = ("held", "enabled", "squared")
_NOT_PLAIN = ("histogram", "hold_histogram", "_holders", "_stacks", "_looks", "_merged")
_PLAIN = tuple(name for name in FIELDS if name not in _NOT_PLAIN)
# Version 1.0 did not store them: it never counted.
_SINCE_1_1 = {
    **{"counted_ns": 0, "method_reason": "", "clock": None},
    **{"wanted_releases": 0, "retakes": 0, "passed_over_ns": 0},
}
_REQUIRED = (
    *("format", "version", *(name for name in _PLAIN if name not in _SINCE_1_1)),
    *("histogram", "hold_histogram", "holders", "merged", "waits", "hold_times"),
)
_OPTIONAL = ("summary", "stacks", "looks")
_LONGEST = ("wait_max_ns", "in_flight_ns", "hold_max_ns")
_FLAGS = ("wait_max_exact", "hold_max_exact", "slice_active")
_ALLOWED_SUM = "a number from 0 to 1e20"
# Sums of floats, in whatever order they were added up.
_ROUNDING = 1e-6


def encode(snapshot: Snapshot) -> dict[str, Any]:
    """Return all that a snapshot stores but its raw waits."""
    merged, looks = snapshot._merged, snapshot._looks
    return {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(snapshot, name) for name in _PLAIN},
        "histogram": [list(bucket) for bucket in snapshot.histogram],
        "hold_histogram": [list(bucket) for bucket in snapshot.hold_histogram],
        "holders": [dict(zip(_HOLDER, holder, strict=True)) for holder in snapshot._holders],
        "stacks": None if snapshot._stacks is None else stacks_as_dict.encode(snapshot._stacks),
        "looks": None if looks is None else dict(zip(_LOOKS, looks, strict=True)),
        "merged": None if merged is None else dict(zip(_MERGED, merged, strict=True)),
        "waits": None,
        "hold_times": None,
    }


def encode_raw(raw: RawWaits) -> dict[str, Any]:
    """Return what is stored of raw waits."""
    values = (raw.first_sequence, raw.wait_times.tolist(), raw.knock_times.tolist())
    return dict(zip(_WAITS, values, strict=True))


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """Return what :meth:`Snapshot.summary` does."""
    interval = snapshot.held_fraction_interval
    found = {
        "method": snapshot.method,
        "observed_seconds": snapshot.observed_seconds,
        "held_seconds": _without_nan(snapshot.held_seconds),
        "held_fraction": _without_nan(snapshot.held_fraction),
        "held_fraction_interval": None if interval is None else list(interval),
        "knock_wait_fraction": _without_nan(snapshot.knock_wait_fraction),
        "wait_fraction": _without_nan(snapshot.wait_fraction),
        "knocks": snapshot.knocks,
        "wait_mean_ns": _without_nan(snapshot.wait_mean_ns),
        **{f"wait_p{p}_ns": _without_nan(snapshot.percentile(p)) for p in (50, 90, 99)},
        "wait_max_ns": snapshot.wait_max_ns if snapshot.knocks else None,
        "in_flight_ns": snapshot.in_flight_ns,
    }
    if snapshot.method == "trace":
        found |= {
            "holds": snapshot.holds,
            **{f"hold_p{p}_ns": _without_nan(snapshot.hold_percentile(p)) for p in (50, 90, 99)},
            "hold_max_ns": snapshot.hold_max_ns if snapshot.holds or snapshot.hold_max_ns else None,
        }
    return found


def decode(data: object) -> tuple[dict[str, Any], RawWaits | None, RawWaits | None]:
    """Return the fields, the raw waits and the raw holds of a stored snapshot.

    Raises
    ------
    TypeError, ValueError
        As :meth:`Snapshot.from_dict` says, naming the key, the value and what is allowed.
    """
    if not isinstance(data, dict):
        raise TypeError(f"a stored snapshot must be a dict, not {shown(data)}")
    _check_is("format", data.get("format"), FORMAT)
    _check_is("version", data.get("version"), VERSION)
    of_1_0 = not any(name in data for name in _SINCE_1_1)
    newer = () if of_1_0 else tuple(_SINCE_1_1)
    _check_keys("a stored snapshot", data, (*_REQUIRED, *newer), optional=_OPTIONAL)
    if of_1_0:
        data = {**data, **_SINCE_1_1, "held_ns": _held_of_1_0(data)}
    setting = stored_count if data["merged"] is None else _count_or_none
    interval = _count_or_none if data["method"] == "trace" else setting
    others = [name for name in (*SETTINGS, *ORIGIN) if name not in INTERVALS]
    fields: dict[str, Any] = {
        **{name: stored_count(name, data[name]) for name in (*INSTANTS, *COUNTS)},
        **{name: setting(name, data[name]) for name in others},
        **{name: interval(name, data[name]) for name in INTERVALS},
        **{
            name: stored_count(name, data[name])
            for name in ("wait_max_ns", "in_flight_ns", "hold_max_ns")
        },
        **{name: _flag(name, data[name]) for name in _FLAGS},
        "floor_ns": _count_or_none("floor_ns", data["floor_ns"]),
        "method": _one_of("method", data["method"], _METHODS),
        "method_reason": _text("method_reason", data["method_reason"]),
        "clock": None if data["clock"] is None else _one_of("clock", data["clock"], _CLOCKS),
        "gil_enabled": _gil_enabled(data["gil_enabled"]),
        "histogram": _histogram("histogram", data["histogram"]),
        "hold_histogram": _histogram("hold_histogram", data["hold_histogram"]),
        "_holders": tuple(_holder(holder) for holder in stored_list("holders", data["holders"])),
    }
    fields["_stacks"] = stacks_as_dict.decode(
        data.get("stacks"), fields["method"] == "trace"
    )  # which version 1.0 had not
    _check_counts(fields)
    _check_waits(fields)
    _check_holds(fields)
    fields["_looks"] = _looks(data.get("looks"), fields, data["merged"] is not None)
    fields["_merged"] = _merged(data["merged"], fields)
    return (
        fields,
        _raw("waits", data["waits"], "knocks", fields["knocks"]),
        _raw("hold_times", data["hold_times"], "holds", fields["holds"]),
    )


def _check_is(name: str, value: object, expected: str | int) -> None:
    if type(value) is not type(expected):
        raise TypeError(f"{name} must be {expected!r}, not {shown(value)}")
    if value != expected:
        raise ValueError(f"{name} must be {expected!r}, not {shown(value)}")


def _check_keys(
    what: str, data: dict[Any, Any], required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    for key in required:
        if key not in data:
            raise ValueError(f"{what} must have the key {key!r}")
    for key in data:
        if key not in required and key not in optional:
            raise ValueError(f"{what} must not have the key {shown(key)}")


def _count_or_none(name: str, value: Any) -> int | None:
    return None if value is None else stored_count(name, value)


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(f"{name} must be True or False, not {shown(value)}")
    return value


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {allowed}, not {shown(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, not {shown(value)}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {shown(value)}")
    return value


def _held_of_1_0(data: dict[str, Any]) -> Any:
    """Return what version 1.0 left to be calculated, of looks; what cannot be is checked later."""
    names = ("held_ns", "observed_ns", "ticks", "ticks_held", "merged")
    held, observed, ticks, ticks_held, merged = (data[name] for name in names)
    if data["method"] == "trace" or held != 0:
        return held
    if isinstance(merged, dict):
        seconds = merged.get("held_seconds")
        return round(seconds * 1e9) if type(seconds) is float and 0 <= seconds <= 9e9 else held
    if any(type(value) is not int or value <= 0 for value in (observed, ticks, ticks_held)):
        return held
    return observed * ticks_held // ticks


def _gil_enabled(value: Any) -> bool | str:
    if type(value) is bool:
        return value
    if not isinstance(value, str):
        raise TypeError(f"gil_enabled must be True, False or 'mixed', not {shown(value)}")
    if value != "mixed":
        raise ValueError(f"gil_enabled must be True, False or 'mixed', not {shown(value)}")
    return value


def _holder(value: Any) -> tuple[int, int, str, int]:
    if not isinstance(value, dict):
        raise TypeError(f"each of holders must be a dict, not {shown(value)}")
    _check_keys("each of holders", value, _HOLDER)
    if not isinstance(value["name"], str):
        raise TypeError(f"holders.name must be a str, not {shown(value['name'])}")
    native_id, serial, held = (
        stored_count(f"holders.{name}", value[name]) for name in ("native_id", "serial", "held")
    )
    return native_id, serial, value["name"], held


def _histogram(name: str, value: Any) -> WaitHistogram:
    for bucket in stored_list(name, value):
        if len(stored_list(f"each bucket of {name}", bucket)) != 3:
            raise ValueError(
                f"each bucket of {name} must be [lower_ns, upper_ns, count], not "
                f"{len(bucket)} values"
            )
    try:
        return WaitHistogram.from_buckets(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _check_counts(fields: dict[str, Any]) -> None:
    ticks, disabled = fields["ticks"], fields["ticks_disabled"]
    found = fields["ticks_held"] + fields["ticks_own"] + disabled
    if found > ticks:
        raise ValueError(
            f"ticks_held, ticks_own and ticks_disabled must together be at most ticks={ticks}, "
            f"not {found}"
        )
    if fields["ticks_late"] > ticks:
        raise ValueError(f"ticks_late must be at most ticks={ticks}, not {fields['ticks_late']}")
    if fields["counted_ns"] > fields["observed_ns"]:
        raise ValueError(
            f"counted_ns must be at most observed_ns={fields['observed_ns']}, not "
            f"{fields['counted_ns']}"
        )
    if fields["start_ns"] > fields["end_ns"]:
        raise ValueError(
            f"end_ns must be at least start_ns={fields['start_ns']}, not {fields['end_ns']}"
        )
    expected = {True: 0, False: ticks}.get(fields["gil_enabled"], disabled)
    if disabled != expected:
        raise ValueError(
            f"ticks_disabled must be {expected} where gil_enabled is {fields['gil_enabled']}, "
            f"not {disabled}"
        )


def _check_waits(fields: dict[str, Any]) -> None:
    buckets = list(fields["histogram"])
    counted = sum(count for *_, count in buckets)
    if counted != fields["knocks"]:
        raise ValueError(f"histogram must count knocks={fields['knocks']} waits, not {counted}")
    bounds = {
        "wait_max_ns": buckets[-1][:2] if buckets else (0, 1),
        "wait_total_ns": (
            sum(lower * count for lower, _, count in buckets),
            sum((upper - 1) * count for _, upper, count in buckets) + 1,
        ),
    }
    for name, (lower, upper) in bounds.items():
        if not lower <= fields[name] < upper:
            raise ValueError(
                f"{name} must be {lower} to {upper - 1}, as histogram says, not {fields[name]}"
            )


def _check_holds(fields: dict[str, Any]) -> None:
    counted = sum(count for *_, count in fields["hold_histogram"])
    if counted != fields["holds"]:
        raise ValueError(f"hold_histogram must count holds={fields['holds']} holds, not {counted}")
    if fields["method"] == "trace":
        return
    for name in TRACED:
        if fields[name]:
            raise ValueError(f"{name} must be 0 unless method is 'trace', not {fields[name]}")


def _looks(value: Any, fields: dict[str, Any], merged: bool) -> tuple[int, int, int] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError(f"looks must be a dict or None, not {shown(value)}")
    _check_keys("looks", value, _LOOKS)
    if merged:
        raise ValueError(f"looks must be None in a merge, not {shown(value)}")
    held, enabled, squared = (stored_count(f"looks.{name}", value[name]) for name in _LOOKS)
    ticks, ticks_held = fields["ticks"] - fields["ticks_disabled"], fields["ticks_held"]
    most = enabled - (ticks - ticks_held)
    # Each look weighs 1 at least.
    if enabled < ticks or (enabled and not ticks):
        raise ValueError(
            f"looks.enabled must be at least {ticks}, for as many ticks, not {enabled}"
        )
    if not ticks_held <= held <= (most if ticks_held else 0):
        raise ValueError(f"looks.held must be {ticks_held} to {most}, not {held}")
    # Between all ticks weighing the same and one tick that weighs all.
    if not enabled**2 <= squared * max(ticks, 1) or squared > enabled**2:
        raise ValueError(
            f"looks.squared must be looks.enabled**2 over 1 to {ticks} ticks, not {squared}"
        )
    return held, enabled, squared


def _merged(value: Any, fields: dict[str, Any]) -> tuple[float, float, float] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError(f"merged must be a dict or None, not {shown(value)}")
    _check_keys("merged", value, _MERGED)
    for name in ORIGIN:
        if fields[name] is not None:
            raise ValueError(f"{name} must be None in a merge, not {fields[name]}")
    held, seconds, squared = (_part(name, value[name]) for name in _MERGED)
    ticks = fields["ticks"] - fields["ticks_disabled"]
    most = fields["observed_ns"] / 1e9 * (1 + _ROUNDING) if ticks else 0.0
    if seconds > most:
        raise ValueError(f"merged.enabled_seconds must be at most {most}, not {seconds}")
    if held > seconds * (1 + _ROUNDING):
        raise ValueError(f"merged.held_seconds must be at most {seconds}, not {held}")
    # Between all ticks weighing the same and one tick that weighs all.
    square = seconds * seconds
    if not square / max(ticks, 1) * (1 - _ROUNDING) <= squared <= square * (1 + _ROUNDING):
        raise ValueError(
            f"merged.squared_seconds_per_tick must be enabled_seconds**2 over 1 to {ticks} ticks, "
            f"not {squared}"
        )
    return held, seconds, squared


def _part(name: str, value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"merged.{name} must be {_ALLOWED_SUM}, not {shown(value)}")
    if not 0 <= value <= 1e20:
        raise ValueError(f"merged.{name} must be {_ALLOWED_SUM}, not {shown(value)}")
    return float(value)


def _raw(name: str, value: Any, counted: str, most: int) -> RawWaits | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict or None, not {shown(value)}")
    _check_keys(name, value, _WAITS)
    first = stored_count(f"{name}.first_sequence", value["first_sequence"])
    waits, times = (_counts(f"{name}.{key}", value[key]) for key in ("wait_ns", "knock_ns"))
    if len(waits) != len(times) or len(waits) > most:
        raise ValueError(
            f"{name}.wait_ns and {name}.knock_ns must be of equal length, at most "
            f"{counted}={most}, not {len(waits)} and {len(times)}"
        )
    return RawWaits(StoredWaits.from_lists(first, waits, times))


def _counts(name: str, value: Any) -> list[int]:
    return [stored_count(f"each of {name}", number) for number in stored_list(name, value)]


def _without_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
