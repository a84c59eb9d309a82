"""What a check found: a row of the table."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "fix", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One row.

    Attributes:
        check: what was looked at.
        verdict: "fix" keeps the stack from working, "warning" does not; "skipped" is none of this launch's business.
        result: what was found, with figures.
        fix: what to do; empty where nothing is to be done.
    """

    check: str
    verdict: Verdict
    result: str
    fix: str = ""


class NotDone(Exception):
    """A check could not be done; why, and what to do about it."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix
