"""Where 1.0 had it, and so its pickles look for it: see :mod:`gilknocker.snapshot.holders`."""

from gilknocker.snapshot.holders import Holder as Holder
