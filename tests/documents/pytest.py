"""What the tests of docs/pytest.md take for granted."""

import time

large_table = 0.5
export = time.sleep
