"""A file that is written at exit: tried at the start, to fail early."""

from __future__ import annotations

from gilknocker._files import Target
from gilknocker.commands.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["output_files"]


def output_files(paths: Mapping[str, str | None]) -> dict[str, Target]:
    """Return where each option's file will be written.

    Parameters
    ----------
    paths : mapping
        What each option was given; None where it was not.

    Raises
    ------
    UsageError
        If nothing can be written there, as was tried, or two options write the same file. (What is
        no regular file, a terminal for instance, may have several.)
    """
    targets: dict[str, Target] = {}
    options: dict[str, str] = {}
    for option, path in paths.items():
        if path is None:
            continue
        try:
            target = targets[option] = Target(path)
            if not target.in_place and target.path in options:
                raise UsageError(f"{options[target.path]} and {option} cannot both write {path!r}")
            target.check()
        except OSError as error:
            raise UsageError(f"{option} cannot write {path!r}: {error.strerror}") from None
        options[target.path] = option
    return targets
