"""One judgement of `inspect`: what was measured, between which bounds it should lie, and a sentence for people."""

from __future__ import annotations

import math

from insertion_vla_core.strict_yaml import StrictModel

Bound = tuple[float | None, float | None]


class Check(StrictModel):
    """One judgement.

    Attributes:
        name: what was looked at ("rate", "gap", ...).
        subject: of which stream or view; "" for the whole episode or data set.
        value: the measured number, None where nothing could be measured.
        bound: the smallest and the largest value that are good; None where there is no such end.
        unit: of both.
        ok: the value lies within.
        sentence: what came; where it is not good also what was expected and what to do.
    """

    name: str
    subject: str = ""
    value: float | None
    bound: Bound
    unit: str = ""
    ok: bool
    sentence: str


def judged(
    name: str, subject: str, value: float, bound: Bound, unit: str, said: str, remedy: str, shown: str = ""
) -> Check:
    """A check of a number; one that is not finite is not good.

    Args:
        name, subject, value, bound, unit: as in Check.
        said: what came, the beginning of a sentence.
        remedy: what to do where it is not good.
        shown: the bound in words; made from the numbers by default.
    """
    low, high = bound
    value = float(value)
    ok = math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)
    sentence = f"{said}." if ok else f"{said}; expected {shown or _in_words(bound, unit)}: {remedy}."
    return Check(
        name=name,
        subject=subject,
        value=float(f"{value:.6g}") if math.isfinite(value) else None,
        bound=bound,
        unit=unit,
        ok=ok,
        sentence=sentence,
    )


def not_judged(name: str, subject: str, said: str) -> Check:
    """A check that has nothing to look at, which is no fault."""
    return Check(name=name, subject=subject, value=None, bound=(None, None), ok=True, sentence=f"{said}.")


def _in_words(bound: Bound, unit: str) -> str:
    low, high = bound
    if low is None:
        return f"at most {quantity(high, unit)}"
    if high is None:
        return f"at least {quantity(low, unit)}"
    return f"{quantity(low, unit)} to {quantity(high, unit)}"


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit as people write it: 0.012 s is 12 ms, a share of 0.05 is 5 %."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit in ("s", "m", "N", "rad") and 0.0 < abs(value) < 0.1:
        return f"{1e3 * value:.3g} m{unit}"
    return f"{value:.4g} {unit}".rstrip()
