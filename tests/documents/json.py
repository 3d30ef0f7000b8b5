"""A report for the block of docs/json.md to read."""

import subprocess
import sys

subprocess.run(
    [sys.executable, "-m", "gilknocker", "run", "--json", "report.json", "-c", "pass"], check=True
)
