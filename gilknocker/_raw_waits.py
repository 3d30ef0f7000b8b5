"""Where 1.0 had it, and so its pickles look for it: see :mod:`gilknocker.snapshot.raw_waits`."""

from gilknocker.snapshot.raw_waits import _restore as _restore
