"""The observation as one memory that the experts look at: what is seen, the robot's state, and the force.

concat           scene and force tokens side by side
cross_attention  scene tokens look at the force tokens; the memory is the scene
gated            every scene token takes in the mean of the force tokens through a gate of its own
none             the force is left out: the ablation without the sense of touch
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insertion_vla_policy.encoders import FeatureEncoder, ForceEncoder, StateEncoder
from insertion_vla_policy.inputs import InputSpec
from insertion_vla_policy.layers import CrossAttention
from insertion_vla_policy.model_config import FusionKind


class ObservationEncoder(nn.Module):
    """Normalised inputs to a memory of tokens."""

    def __init__(self, spec: InputSpec, fusion: FusionKind, hidden: int, heads: int) -> None:
        super().__init__()
        self.fusion = fusion
        self.state = StateEncoder(spec, hidden)
        self.features = FeatureEncoder(spec, hidden) if spec.feature_tokens else None
        self.force = None if fusion == "none" else ForceEncoder(spec, hidden, heads)
        if fusion == "cross_attention":
            self.norm_scene, self.norm_force = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
            self.look = CrossAttention(hidden, heads)
        elif fusion == "gated":
            self.gate, self.value = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Memory (B, M, hidden) and its mask (B, 1, 1, M), True where there is something to look at."""
        scene = self.state(inputs)
        mask = torch.ones(scene.shape[:2], dtype=torch.bool, device=scene.device)
        if self.features is not None:
            scene = torch.cat([scene, self.features(inputs)], dim=1)
            mask = torch.cat([mask, inputs["features_mask"]], dim=1)
        if self.force is not None:
            scene, mask = self._fuse(scene, mask, self.force(inputs))
        return self.norm(scene), mask[:, None, None]

    def _fuse(self, scene: Tensor, mask: Tensor, force: Tensor) -> tuple[Tensor, Tensor]:
        if self.fusion == "concat":
            there = torch.ones(force.shape[:2], dtype=torch.bool, device=force.device)
            return torch.cat([scene, force], dim=1), torch.cat([mask, there], dim=1)
        if self.fusion == "cross_attention":
            keys_values = self.look.keys_values(self.norm_force(force))
            return scene + self.look(self.norm_scene(scene), keys_values, None), mask
        summary = force.mean(dim=1, keepdim=True).expand_as(scene)
        return scene + torch.sigmoid(self.gate(torch.cat([scene, summary], dim=-1))) * self.value(summary), mask
