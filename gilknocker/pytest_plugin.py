"""The pytest plugin: the fixture `gil_knocker`. Inert until used. PYTEST_DONT_REWRITE.

pytest loads this module at start-up wherever gilknocker is installed. So it imports the meter, and
with it compiled code, only in a test that asks for it.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilknocker import KnockKnock


@pytest.fixture
def gil_knocker() -> Iterator[KnockKnock]:
    """Run a :class:`gilknocker.KnockKnock` while the test does."""
    from gilknocker import KnockKnock

    with KnockKnock() as knocker:
        yield knocker
