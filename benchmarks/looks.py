"""Do single looks agree with the oracle about the instant at which they were taken?"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gilknocker import _core
from gilknocker.testing import GilLoad

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from oracle import Oracle

# What _core.look_series says it saw.
HELD = 2


def look_agreement(held_micros: int, free_micros: int, looks: int) -> npt.NDArray[np.bool_]:
    """Look at a load every 0.1 ms; return whether each look agrees with the oracle.

    Left out are looks that the GIL changed under, or within 1 µs of which it did: they have no one
    answer.
    """
    with Oracle(log=1 << 22) as oracle, GilLoad(held_micros / 1e6, free_micros / 1e6):
        seen = struct.iter_unpack("3q", _core.look_series(looks, 100_000))
        before, after, states = np.array(list(seen)).T
        truth_before, far_before = oracle.state_at(before)
        truth_after, far_after = oracle.state_at(after)
    sure = (truth_before == truth_after) & (np.minimum(far_before, far_after) > 1_000)
    return np.asarray((states == HELD) == truth_before)[sure]
