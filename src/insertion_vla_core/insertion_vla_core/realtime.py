"""Real-time priority for the few processes whose lateness stops the arm."""

import os

# Of 1 .. 99: above every ordinary process, below the kernel's own threads. What watches goes before what plans.
WATCH_PRIORITY, PLAN_PRIORITY = 40, 20


def take_realtime_priority(priority: int = WATCH_PRIORITY) -> bool:
    """Asks the kernel to run this process, and the threads it starts from now on, before ordinary ones (SCHED_FIFO).

    Args:
        priority: WATCH_PRIORITY or PLAN_PRIORITY.

    Returns:
        False where that is not permitted (no CAP_SYS_NICE and no rtprio limit); the process then runs as before.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return False
    return True


def leave_realtime_priority() -> None:
    """Makes this process an ordinary one again: a child inherits its parent's priority."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
