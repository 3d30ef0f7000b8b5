"""What the blocks of that tutorial take for granted."""


def work() -> None:
    sum(range(100_000))
