"""What the tests of docs/pytest.md take for granted."""

import time

large_table = 1.5  # seconds: who knocks may have no CPU for a third of it
export = time.sleep
