"""Checks side by side, each within its time limit; one that hangs or breaks is a row that says so."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from insertion_vla.preflight_checks.finding import Finding, NotDone

POLL_S = 0.1


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: of its row where it gives none itself.
        limit_s: it is left alone after this time.
        find: does it; may raise NotDone, or OSError and ValueError with a sentence.
    """

    name: str
    limit_s: float
    find: Callable[[], list[Finding]]


def run_checks(checks: Sequence[Check], waiting: Callable[[Sequence[str]], None]) -> list[Finding]:
    """Runs checks, each in a thread of its own.

    Args:
        checks: what to do.
        waiting: told the names of those that are not done yet, again and again.

    Returns:
        The rows, in the order of the checks.
    """
    found: dict[str, list[Finding]] = {}
    began_s = time.monotonic()
    threads = {}
    for check in checks:
        work = threading.Thread(target=_run, args=(check, found), name=check.name, daemon=True)
        work.start()
        threads[check.name] = work
    while pending := [c for c in checks if threads[c.name].is_alive() and time.monotonic() < began_s + c.limit_s]:
        waiting([check.name for check in pending])
        threads[pending[0].name].join(POLL_S)
    return [row for check in checks for row in found.get(check.name) or [_late(check)]]


def _run(check: Check, found: dict[str, list[Finding]]) -> None:
    try:
        found[check.name] = check.find()
    except NotDone as reason:
        found[check.name] = [Finding(check.name, "fix", str(reason), reason.fix)]
    except (OSError, ValueError) as error:
        found[check.name] = [Finding(check.name, "fix", f"not checked: {error}", "put right what the sentence names")]
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        row = Finding(
            check.name,
            "fix",
            f"not checked: the check itself failed: {type(error).__name__}: {error}",
            "report this with the lines above the table; look at this part by hand",
        )
        found[check.name] = [row]


def _late(check: Check) -> Finding:
    return Finding(
        check.name,
        "fix",
        f"not checked: no answer within {check.limit_s:g} s",
        "see whether the device or the machine hangs, then check again",
    )
