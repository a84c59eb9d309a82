"""Futures of a loop that may not be running yet."""

import asyncio


def create_future(loop: asyncio.AbstractEventLoop | None) -> asyncio.Future:
    """A future of the given loop, or of this thread's loop."""
    return (loop if loop is not None else asyncio.get_event_loop()).create_future()
