"""Where 1.0 had it, and people import it from: see :mod:`gilknocker.reports.plotting`."""

from gilknocker.reports.plotting import overlay as overlay
