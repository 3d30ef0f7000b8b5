"""What the blocks of that tutorial take for granted."""


def handle_request() -> None:
    sum(range(100_000))
