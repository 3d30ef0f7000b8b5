#!/usr/bin/env bash
# IPython 9.18.1: a cell that may await may not under %%time, nor %time.
#
# "await" at the top level of a cell works; with %%time above it, it is a SyntaxError, 'await' outside
# function, and so is "%time await ...": these magics compile the code without what allows it. To take
# the time of such a cell: time.perf_counter() within.
#
# Guessed before: the cell runs, and "Wall time" is the 0.1 s that it awaits.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
export IPYTHONDIR=$folder HOME=$folder
python3 -m venv env; env/bin/pip install -q ipython==9.18.1 2>/dev/null
env/bin/python - <<'PYTHON'
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

shell = InteractiveShell.instance()
code = "import asyncio\nawait asyncio.sleep(0.1)"
seen = {}
for cell in (code, f"%%time\n{code}", "%time await asyncio.sleep(0.1)"):
    with capture_output():
        result = shell.run_cell(cell)
    seen[cell] = repr(result.error_in_exec or result.error_before_exec)
    print(repr(cell), seen[cell])
plain, *timed = seen.values()
assert plain == "None" and all("'await' outside function" in error for error in timed), "changed"
PYTHON
# Seen on 2026-11-28, Python 3.11.7:
# 'import asyncio\nawait asyncio.sleep(0.1)' None
# '%%time\nimport asyncio\nawait asyncio.sleep(0.1)' SyntaxError("'await' outside function", ...)
# '%time await asyncio.sleep(0.1)' SyntaxError("'await' outside function", ...)
