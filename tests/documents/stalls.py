"""What the blocks of docs/stalls.md take for granted."""


def work() -> None:
    sum(range(100_000))
