"""The figures of all tests as a file; docs/pytest.md says what is in it."""

from __future__ import annotations

import json
import sys

from gilknocker import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilknocker._files import Target
    from gilknocker.integrations.pytest.section import Record
    from gilknocker.integrations.pytest.stalls import StallsByTest

__all__ = ["FORMAT", "VERSION", "write_json"]

FORMAT = "gilknocker.pytest"
VERSION = 1


def write_json(target: Target, records: Iterable[Record], stalls: StallsByTest | None) -> None:
    """Write the file.

    Raises
    ------
    OSError
        If that fails; a regular file that was there before is as it was.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "gilknocker": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "tests": [
            {
                "nodeid": record.nodeid,
                "outcome": record.outcome,
                "worker": record.worker or None,
                **record.figures,
            }
            for record in records
        ],
        "stalls": None if stalls is None or stalls.problem else stalls.found,
    }
    target.write_text(json.dumps(content, indent=1) + "\n")
