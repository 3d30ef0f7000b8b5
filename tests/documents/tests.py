"""What the tests of that tutorial take for granted."""

large_table = range(1_000)
data = bytes(1_000_000)
export = sum
