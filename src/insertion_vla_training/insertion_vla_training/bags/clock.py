"""Are the times of an episode to be trusted? Checks of stamps and receive times, stream by stream and together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FUTURE_S = 0.5  # measured later than received: two clocks
OLD_S = 30.0  # measured so long before it was received
STEP_S = 0.5  # the typical delay changed by this much from one second to the next
SILENCE_S = 2.0  # of everything at once
NS = 1e9


def check_stamps(name: str, stamps: NDArray[np.int64], receive: NDArray[np.int64]) -> None:
    """Check one stream: stamps (n,) and receive times (n,) in the order of arrival.

    Raises:
        ValueError: a stamp is missing, of another clock, or a clock was set while recording.
    """
    if len(stamps) == 0:
        return
    if (stamps <= 0).any():
        count = int(np.count_nonzero(stamps <= 0))
        raise ValueError(
            f"'{name}': expected acquisition times, got {count} of {len(stamps)} stamps that are zero, "
            "negative or not a number; make its driver set header.stamp"
        )
    delay_s = (receive - stamps) / NS
    worst = delay_s[np.argmax(np.abs(delay_s))]
    if worst > OLD_S or delay_s.min() < -FUTURE_S:
        shown = worst if worst > OLD_S else delay_s.min()
        raise ValueError(
            f"'{name}': expected stamps shortly before their receive times, got one {abs(shown):.1f} s "
            f"{'before' if shown > 0 else 'after'} it: a clock was set while recording or two machines "
            "differ; synchronise their clocks (chrony) and record again"
        )
    _check_delay(name, receive, delay_s)


def _check_delay(name: str, receive: NDArray[np.int64], delay_s: NDArray[np.float64]) -> None:
    second = (receive - receive[0]) // int(NS)
    starts = np.flatnonzero(np.concatenate([[True], second[1:] != second[:-1]]))
    typical = np.array([np.median(part) for part in np.split(delay_s, starts[1:])])
    steps = np.abs(np.diff(typical))
    # A machine under load delays single messages; a clock that was set shifts all that follow.
    if len(steps) and len(delay_s) > 20 * len(typical) and steps.max() > STEP_S:
        at = int(np.argmax(steps))
        raise ValueError(
            f"'{name}': a clock was set by about {typical[at + 1] - typical[at]:+.2f} s "
            f"{int(second[starts[at + 1]])} s after the start; synchronise the clocks (chrony) before "
            "recording, and record again"
        )


def check_silence(receive: NDArray[np.int64]) -> None:
    """Check the receive times (n,) of all messages together, in order.

    Raises:
        ValueError: nothing at all came for long: the recorder stood still or its clock was set forward.
    """
    gaps = np.diff(receive)
    if len(gaps) and gaps.max() > SILENCE_S * NS:
        at_s = (receive[int(np.argmax(gaps))] - receive[0]) / NS
        raise ValueError(
            f"nothing at all was received for {gaps.max() / NS:.1f} s, {at_s:.1f} s after the start: the "
            "clock was set forward or the recorder stood still; record again"
        )


def check_counter(name: str, counter: NDArray[np.int64]) -> None:
    """Check a number that the sender counts up with each message, in the order of arrival.

    Raises:
        ValueError: it goes back and then on: the clock was set back and two stretches of time lie over each other.
    """
    steps = np.diff(counter)
    # A restarted sender begins anew once; stretches that are interleaved go back many times.
    if np.count_nonzero(steps < 0) > 2:
        raise ValueError(
            f"'{name}': its counter goes back {np.count_nonzero(steps < 0)} times: the clock was set back "
            "while recording; record again"
        )
