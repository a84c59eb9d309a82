"""Short films of episodes, rendered from the states that their traces keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from insertion_vla_sim.render import Renderer
from insertion_vla_sim.video import VideoWriter, side_by_side

from insertion_vla_training.evaluation.episode import Result
from insertion_vla_training.evaluation.trace import Trace

VIEWS = ("front", "hand")
FRAMES, FPS = 40, 8.0


def write_film(trace: Trace, result: Result, renderer: Renderer, path: Path) -> None:
    """An animated GIF of a whole episode in five seconds, whatever its length."""
    shown = np.unique(np.linspace(0, len(trace.states) - 1, FRAMES).round().astype(int))
    waiting = path.with_name(f".part-{path.name}")
    with VideoWriter(waiting, FPS) as video:
        for state in trace.states[shown]:
            caption = f"seed {result.seed}, {result.colour}: {result.outcome}   {state[0]:.1f} s"
            video.add(side_by_side({view: renderer.render(view, state) for view in VIEWS}, caption))
    waiting.replace(path)
