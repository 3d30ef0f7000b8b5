#!/usr/bin/env bash
# IPython 9.18.1: the events pre_execute and post_execute do not come in pairs.
#
# A cell that is empty or blank has a post_execute (and a post_run_cell) and nothing before it. What
# counts up at one and down at the other, or takes the time between, as extensions do, goes wrong at
# the first empty cell.
#
# Guessed before: neither comes, or both.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
export IPYTHONDIR=$folder HOME=$folder
python3 -m venv env; env/bin/pip install -q ipython==9.18.1 2>/dev/null
env/bin/python - <<'PYTHON'
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
seen = []
for event in ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell"):
    shell.events.register(event, lambda *_, event=event: seen.append(event))
for cell, expected in (
    ("x = 1", ["pre_execute", "pre_run_cell", "post_execute", "post_run_cell"]),
    ("", ["post_execute", "post_run_cell"]),
    ("\n", ["post_execute", "post_run_cell"]),
):
    seen.clear()
    shell.run_cell(cell)
    print(repr(cell), seen)
    assert seen == expected, "not as it was"
PYTHON
# Seen on 2026-11-28, Python 3.11.7:
# 'x = 1' ['pre_execute', 'pre_run_cell', 'post_execute', 'post_run_cell']
# '' ['post_execute', 'post_run_cell']
# '\n' ['post_execute', 'post_run_cell']
