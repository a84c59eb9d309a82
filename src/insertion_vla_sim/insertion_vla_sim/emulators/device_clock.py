"""The clock that the emulated devices stamp with: right at the start, then steady, whatever the host's clock does.

Real devices keep their own time, so a step of the host's clock must reach the receivers as a jump between the two.
"""

from __future__ import annotations

import time

_WALL_MINUS_STEADY_S = time.time() - time.monotonic()


def stamp(monotonic_s: float | None = None) -> float:
    """Device time in seconds since 1970 at a time of the steady clock, now by default."""
    return _WALL_MINUS_STEADY_S + (time.monotonic() if monotonic_s is None else monotonic_s)
