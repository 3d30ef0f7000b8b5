"""The GIL atlas: which calls keep the GIL, measured, by version; ``atlas/run.py`` makes it."""
