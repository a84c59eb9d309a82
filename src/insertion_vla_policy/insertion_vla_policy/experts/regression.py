"""The regression expert: learned queries look at the observation, and one pass gives the chunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insertion_vla_policy.experts.decoder import Decoder
from insertion_vla_policy.experts.loss import Loss, mean_over_rows
from insertion_vla_policy.fusion import ObservationEncoder
from insertion_vla_policy.model_config import VlaConfig


class Regression(nn.Module):
    """Normalised inputs to normalised actions (B, horizon, channels).

    `forward` is the training loss, so that wrappers for data-parallel training see it; `act` is inference.
    """

    def __init__(self, config: VlaConfig) -> None:
        super().__init__()
        self.config = config
        hidden, (horizon, channels) = config.decoder.hidden, config.action_shape
        self.encoder = ObservationEncoder(config.inputs, config.fusion, hidden, config.decoder.heads)
        self.queries = nn.Parameter(0.02 * torch.randn(horizon, hidden))
        self.decoder = Decoder(config.decoder, horizon, channels)

    def act(self, inputs: dict[str, Tensor]) -> Tensor:
        """Actions of normalised inputs."""
        memory, mask = self.encoder(inputs)
        tokens = self.queries.expand(memory.shape[0], -1, -1)
        return self.decoder(tokens, self.decoder.condition(memory), mask)

    def forward(self, inputs: dict[str, Tensor], actions: Tensor, rows: Tensor | None = None) -> Loss:
        """Mean absolute error per sample.

        Args:
            inputs: normalised, each (B, ...).
            actions: (B, horizon, channels), normalised; never an input of the prediction.
            rows: (B, horizon) True where there is an action; None: everywhere.
        """
        error = (self.act(inputs) - actions).abs().mean(dim=-1)
        return Loss(mean_over_rows(error, rows), {})
