"""Real-time priority for the few processes whose lateness stops the arm."""

import os

PRIORITY = 40  # of 1 .. 99: above every ordinary process, below the kernel's own threads


def take_realtime_priority() -> bool:
    """Asks the kernel to run this process, and the threads it starts from now on, before ordinary ones (SCHED_FIFO).

    Returns:
        False where that is not permitted (no CAP_SYS_NICE and no rtprio limit); the process then runs as before.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        return False
    return True


def leave_realtime_priority() -> None:
    """Makes this process an ordinary one again: a child inherits its parent's priority."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
