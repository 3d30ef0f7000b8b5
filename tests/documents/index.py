"""What the block of docs/index.md takes for granted."""


def work() -> None:
    sum(range(100_000))
