"""What the block of docs/asyncio.md takes for granted."""


async def serve() -> None:
    sum(range(1_000_000))
