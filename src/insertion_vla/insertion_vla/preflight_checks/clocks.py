"""The system clock: is it kept right by anyone, and does it run evenly beside the steady clock.

Stamps are wall-clock times: the clocks of several machines must agree, and one that is set during a run spoils bags.
"""

import ctypes
import os
import time

from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection

WATCH_S = 2.0
STEP_S = 0.005  # the two clocks apart by more than this after two seconds: somebody set the wall clock
GOOD_ERROR_S = 0.01  # between machines, a fifth of the age at which the robot's state counts as old
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_FIX = "let NTP or PTP set this clock: sudo timedatectl set-ntp true, or chrony"


class _Timex(ctypes.Structure):
    """The beginning of struct timex of Linux; `rest` covers what is not looked at."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


def check_clocks(selection: Selection) -> list[Finding]:
    """Synchronisation as the kernel knows it, and the drift between wall and steady clock."""
    drift_s = _drift()
    try:
        synchronised = judge_synchronisation(*_kernel(), selection.split)
    except OSError as error:  # some containers
        fix = "ask the host: timedatectl, or chronyc tracking"
        synchronised = Finding("clock", "warning", f"the kernel does not tell: {error.strerror}", fix)
    return [synchronised, judge_drift(drift_s)]


def _kernel() -> tuple[bool, float]:
    """Whether the kernel's clock is synchronised, and its largest possible error [s]; read only (modes 0)."""
    timex = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    state = libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return state != TIME_ERROR, timex.maxerror * 1e-6


def judge_synchronisation(synchronised: bool, error_s: float, split: bool) -> Finding:
    """A clock that nobody keeps right is a fault only where other machines are involved (split)."""
    if not synchronised:
        why = "other machines take part" if split else "recordings carry its time"
        return Finding("clock", "fix" if split else "warning", f"not synchronised, and {why}", _FIX)
    figures = f"synchronised, at most {error_s * 1e3:.1f} ms off"
    if split and error_s > GOOD_ERROR_S:
        fix = f"wait until it is within {GOOD_ERROR_S * 1e3:g} ms, or use a nearer server (chrony, PTP) on all machines"
        return Finding("clock", "warning", f"{figures}, and other machines take part", fix)
    return Finding("clock", "ok", figures)


def _drift() -> float:
    """How much farther the wall clock went than the steady clock [s]."""
    wall_ns, steady_ns = time.time_ns(), time.monotonic_ns()
    time.sleep(WATCH_S)
    return ((time.time_ns() - wall_ns) - (time.monotonic_ns() - steady_ns)) * 1e-9


def judge_drift(drift_s: float) -> Finding:
    """Whether the wall clock was set while it was watched."""
    figures = f"wall against steady clock: {drift_s * 1e3:+.2f} ms in {WATCH_S:g} s"
    if abs(drift_s) > STEP_S:
        return Finding("clock drift", "fix", f"{figures}: it was set meanwhile", f"check again; {_FIX}, and only one")
    return Finding("clock drift", "ok", figures)
