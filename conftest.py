"""Let ``python -m pytest`` in a checkout test the installed package.

``python -m`` puts this folder first on the path, and the sources in gilknocker/ hide the installed
package while having no compiled modules of their own (unless built in place, by
``pip install -e .``). ``pytest`` alone does not do that, and needs nothing of this.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent

if not any(ROOT.glob("gilknocker/_core*.so")):
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
    # pytest has loaded our plugin by now, from here: that is inert, and stays registered.
    for name in [name for name in sys.modules if name.partition(".")[0] == "gilknocker"]:
        del sys.modules[name]


def pytest_report_header() -> str:
    """Say which package is under test."""
    import gilknocker

    return f"gilknocker {gilknocker.__version__} from {Path(gilknocker.__file__).parent}"
