"""Where 1.0 had it, and so its pickles look for it: see :mod:`gilknocker.reports.comparison`."""

from gilknocker.reports.comparison import Comparison as Comparison
from gilknocker.reports.comparison import Difference as Difference
from gilknocker.reports.comparison import compare as compare
