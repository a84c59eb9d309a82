"""A renderer's own copy of the scene, following render states that may come from another process."""

from __future__ import annotations

import mujoco
import numpy as np

from insertion_vla_sim import scene
from insertion_vla_sim.randomise import apply_layout, draw_layout
from insertion_vla_sim.world import RenderState


class SceneCopy:
    """Model and data of the scene as the last shown render state describes them."""

    def __init__(self, xml: str) -> None:
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)
        self.drawn: tuple[int, str] | None = None  # seed and set of the layout

    def show(self, state: np.ndarray) -> None:
        """Take over a `World.render_state()`."""
        decoded = RenderState.decode(state)
        if (decoded.seed, decoded.randomisation) != self.drawn:
            apply_layout(self.model, draw_layout(decoded.seed, decoded.randomisation))
            self.drawn = (decoded.seed, decoded.randomisation)
        self.data.qpos[:] = decoded.qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def camera_id(self, name: str) -> int:
        """Raises ValueError for a view that does not exist."""
        if name not in scene.VIEWS:
            raise ValueError(f"camera must be one of {', '.join(scene.VIEWS)}, got {name!r}")
        return int(self.model.camera(name).id)
