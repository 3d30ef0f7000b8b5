"""Where 1.0 had it, and so its pickles look for it: see :mod:`gilknocker.snapshot.thread_times`."""

from gilknocker.snapshot.thread_times import ThreadTimes as ThreadTimes
