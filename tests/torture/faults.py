"""All faults, in the order of the table: that of these imports."""

# ruff: noqa: I001
from __future__ import annotations

import exits
import forks
import loads
import hostile
import company
import walkers
import stacks
from registry import FAULTS

__all__ = ["FAULTS", "company", "exits", "forks", "hostile", "loads", "stacks", "walkers"]
