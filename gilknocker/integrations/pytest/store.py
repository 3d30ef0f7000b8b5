"""The figures of all tests as a file; docs/pytest.md says what is in it."""

from __future__ import annotations

import json
import os
import sys

from gilknocker import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilknocker.integrations.pytest.section import Record

__all__ = ["FORMAT", "VERSION", "write_json"]

FORMAT = "gilknocker.pytest"
VERSION = 1


def write_json(path: str, records: Iterable[Record]) -> None:
    """Write the file, whole or not at all.

    Raises
    ------
    OSError
        If that fails; a file that was there before is as it was.
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
    }
    target = os.path.realpath(path)
    scratch = f"{target}.{os.getpid()}.tmp"
    try:
        with open(scratch, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
        os.replace(scratch, target)
    except OSError:
        if os.path.exists(scratch):
            os.unlink(scratch)
        raise
