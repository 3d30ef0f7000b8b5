"""The standard library, where what matters is the call and not the file or socket behind it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _records() -> list[dict[str, Any]]:
    return [{"id": i, "name": f"name {i}", "values": list(range(10))} for i in range(60_000)]


@case("python", "json.dumps(obj)", size="60,000 records", set_up=_records, guess="keeps")
def json_dumps(records: list[dict[str, Any]]) -> str:
    return json.dumps(records)


@case("python", "time.sleep(0.3)", guess="releases")
def sleep(_: None) -> None:
    time.sleep(0.3)


@case("python", "sum(x * x for x in r)", size="5,000,000 numbers", guess="gives way")
def generator_sum(_: None) -> int:
    return sum(x * x for x in range(5_000_000))


@case(
    "python",
    "re.sub(pattern, str, text)",
    size="8 MB",
    set_up=lambda: "some words and 1234 numbers " * 300_000,
    guess="keeps",
)
def re_sub(text: str) -> str:
    return re.sub(r"\d+", "#", text)
