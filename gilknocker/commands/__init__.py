"""The command line: ``gilknocker run | show | compare``."""
