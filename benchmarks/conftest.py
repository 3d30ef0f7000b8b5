"""Lets the benchmarks import what they share: --import-mode=importlib puts nothing on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
