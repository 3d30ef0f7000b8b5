#!/usr/bin/env bash
# bleach 6.4.0: clean() shows a tag as text that was not in its input.
#
# A table of allowed tags only does not come back as it is: the parser adds the <tbody> that HTML
# implies, it is not among the allowed tags, and so it is escaped, as text before the table.
# nbconvert's sanitize_html allows table, tr and td, and no tbody: such a table in a notebook has the
# words "<tbody></tbody>" above it.
#
# Guessed before: what is made of allowed tags only comes back unchanged.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q bleach==6.4.0 2>/dev/null
env/bin/python - <<'PYTHON'
import bleach

table = "<table><tr><td>1</td></tr></table>"
cleaned = bleach.clean(table, tags={"table", "tr", "td"})
print(cleaned)
assert cleaned == "<table>&lt;tbody&gt;<tr><td>1</td></tr>&lt;/tbody&gt;</table>", "not as it was"
PYTHON
# Seen on 2026-11-28, Python 3.11.7:
# <table>&lt;tbody&gt;<tr><td>1</td></tr>&lt;/tbody&gt;</table>
