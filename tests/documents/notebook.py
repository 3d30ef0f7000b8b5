"""What the blocks of docs/notebook.md take for granted. Needs: matplotlib, pandas."""

import time

import matplotlib

import gilknocker
from gilknocker.plotting import overlay  # noqa: F401

matplotlib.use("Agg")
with gilknocker.KnockKnock() as knocker:
    time.sleep(1)
    before = knocker.snapshot()
    time.sleep(1)
    after = snapshot = knocker.snapshot(waits=True)
