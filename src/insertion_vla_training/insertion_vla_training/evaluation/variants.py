"""What is compared: every policy as it is, and under one hardship at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from insertion_vla_sim.scene import VIEWS

from insertion_vla_training.evaluation.settings import Mode, Settings, is_diffusion

STEPS = (1, 2, 4, 10, 50, 100)
DELAYS_MS = (100, 200, 300, 500)
AGES_MS = (250, 500, 1000, 2000)
EXECUTION_DELAYS_MS = (0, 200, 400)
SWEEPS = {
    "steps": "steps of the diffusion's sampling",
    "delay": "added inference delay [ms]",
    "execution": "how a new chunk takes over, and how late it comes",
    "age": "added age of the features [ms]",
    "touch": "force and A-line that the policy feels",
    "told": "what the policy is told",
    "covered": "view with a cap on its lens",
}
AS_IS = "as it is"


@dataclass(frozen=True)
class Variant:
    """One policy under one condition.

    Attributes:
        policy: short name.
        sweep: one of SWEEPS, or AS_IS.
        value: of the sweep.
        settings: of its episodes.
    """

    policy: str
    sweep: str
    value: str
    settings: Settings

    @property
    def folder(self) -> str:
        """Name of the folder of its results."""
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", "_".join((self.policy, self.sweep, self.value)).strip("_"))


def variants(policies: Sequence[Settings], sweeps: Sequence[str]) -> list[Variant]:
    """All of them, the policies as they are first."""
    names = short_names([each.policy for each in policies])
    result = [Variant(name, AS_IS, "", each) for name, each in zip(names, policies, strict=True)]
    for sweep in sweeps:
        for name, each in zip(names, policies, strict=True):
            result += [Variant(name, sweep, value, changed) for value, changed in _values(sweep, each)]
    return result


def short_names(policies: Sequence[str]) -> list[str]:
    """A name or the last folders of a path, as few as tell them apart."""
    for depth in range(1, 10):
        names = ["/".join(Path(policy).parts[-depth:]) for policy in policies]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"expected different policies, got {', '.join(policies)}: name each once")


def _values(sweep: str, base: Settings) -> list[tuple[str, Settings]]:
    if sweep == "steps":
        steps = STEPS if is_diffusion(base.policy) else ()
        return [
            (str(n), replace(base, options=base.options.model_copy(update={"steps": n})))
            for n in steps
            if n != base.options.steps
        ]
    if sweep == "delay":
        return [(str(ms), replace(base, inference_delay_s=ms * 1e-3)) for ms in DELAYS_MS]
    if sweep == "execution":
        modes = [mode for mode in get_args(Mode) if mode != "guided" or is_diffusion(base.policy)]
        return [
            (f"{mode}, {ms} ms late", replace(base, execution=mode, inference_delay_s=ms * 1e-3))
            for ms in EXECUTION_DELAYS_MS
            for mode in modes
        ]
    if sweep == "age":
        return [(str(ms), replace(base, feature_age_s=ms * 1e-3)) for ms in AGES_MS]
    if sweep == "touch":
        return [(kind, replace(base, touch=kind)) for kind in ("shuffled", "delayed")]
    if sweep == "told":
        return [(kind, replace(base, told=kind)) for kind in ("wrong", "empty")]
    return [(view, replace(base, covered=view)) for view in VIEWS]
