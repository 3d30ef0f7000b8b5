"""Where 1.0 had it, and so its pickles look for it: see :mod:`gilknocker.snapshot.histogram`."""

from gilknocker.snapshot.histogram import WaitHistogram as WaitHistogram
