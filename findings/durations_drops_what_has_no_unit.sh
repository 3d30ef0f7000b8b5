#!/usr/bin/env bash
# durations 0.3.3: "1h30" is an hour, "90" is nothing, and "2 years" are not valid.
#
# It reads durations as people write them in a configuration. Numbers and units are found one after the
# other and made pairs of with zip() (parser.py, extract_tokens), which forgets a last one without a partner:
# a number at the end that has no unit, be it all there is. Nothing is raised, valid_duration() says True,
# and a time limit of "90" is 0 s. A plural is wrong in its table (constants.py): of year it is "Year", so
# "1 year" and "2 Year" can be read (as 366 days each, 12 months of 30.5), and "2 years" cannot. "1.5h"
# can, "1.5 h" cannot, and there valid_duration() raises instead of saying False. pytimeparse takes "90" for
# seconds and returns None for "1h30", and reads "1.5 h".
#
# Guessed before: an hour and a half, 90 s, or that both are refused; two years.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q durations==0.3.3 pytimeparse==1.1.10 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON' | tee output
from durations import Duration
from durations.helpers import valid_duration
from pytimeparse import parse


def told(function, text):
    try:
        return function(text)
    except Exception as error:
        return type(error).__name__


print("text: Duration(), valid_duration(), pytimeparse")
for text in ("1h30m", "1h30", "1 hour and 30", "90", "1 year", "2 years", "2 Year", "1.5h", "1.5 h"):
    seconds = told(lambda text: Duration(text).to_seconds(), text)
    print(f"{text}: {seconds}, {told(valid_duration, text)}, {told(parse, text)}")
PYTHON
# Output seen on 2026-12-01, Python 3.11.7 and 3.12.1:
diff output - <<'SEEN' || { echo "not as it was"; exit 1; }
text: Duration(), valid_duration(), pytimeparse
1h30m: 5400.0, True, 5400
1h30: 3600.0, True, None
1 hour and 30: 3600.0, True, None
90: 0.0, True, None
1 year: 31622400.0, True, None
2 years: ScaleFormatError, False, None
2 Year: 63244800.0, True, None
1.5h: 5400.0, True, 5400
1.5 h: InvalidTokenError, InvalidTokenError, 5400
SEEN
