"""Small models and batches for tests."""

from pathlib import Path

import numpy as np
import torch
from insertion_vla_policy.checkpoint import save_checkpoint
from insertion_vla_policy.checkpoint_config import BackboneRef, CheckpointConfig
from insertion_vla_policy.inputs import InputSpec, build_inputs, input_spec
from insertion_vla_policy.model import Model, build_model
from insertion_vla_policy.model_config import DecoderConfig, VlaConfig
from insertion_vla_policy.normalizer import Normalizer, vla_normalizer
from observation_rig import CONFIG, CONTRACT, DIM, MODEL, TOKENS, observation
from torch import Tensor

torch.set_num_threads(1)

SPEC = input_spec(CONTRACT, TOKENS, DIM)
NANO = DecoderConfig(size="nano")
FUSIONS = ("concat", "cross_attention", "gated", "none")


def vla_config(expert: str = "regression", fusion: str = "concat", spec: InputSpec = SPEC) -> VlaConfig:
    """The smallest model."""
    return VlaConfig(expert=expert, fusion=fusion, inputs=spec, decoder=NANO)


def seeded(config, seed: int = 0) -> Model:
    """A model with the same weights each time; no parameter is left at zero, so that all of it matters."""
    torch.manual_seed(seed)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def column(low: float, high: float) -> dict[str, float]:
    """Statistics of one evenly spread channel."""
    mean, std = (low + high) / 2, (high - low) / 12**0.5
    return {"count": 1000, "q01": low, "q25": low, "median": mean, "q75": high, "q99": high, "mean": mean, "std": std}


def statistics_of(columns: list[dict[str, float]]) -> dict[str, list[float]]:
    """As statistics.json holds them."""
    return {name: [c[name] for c in columns] for name in columns[0]}


STATISTICS = {
    "joints": statistics_of([column(-0.2 + 0.1 * i, 0.2 + 0.1 * i) for i in range(6)]),
    "tool_pose": statistics_of([column(0.15, 0.25), column(-0.05, 0.05), column(0.05, 0.15)] + [column(-1, 1)] * 4),
    "force": statistics_of([column(0.0, 0.3)]),
    "surface_distance": statistics_of([column(0.001, 0.006)]),
    "action": statistics_of([column(-0.016, 0.016)] * 3 + [column(-0.2, 0.2)] * 3 + [column(0.0, 2.0)]),
}


def normalizer() -> Normalizer:
    """Of the statistics above."""
    return vla_normalizer(STATISTICS, SPEC)


def batch(size: int = 2, spec: InputSpec = SPEC, **options) -> dict[str, Tensor]:
    """Normalised inputs of different observations."""
    built = [build_inputs(observation(seed=seed, **options), spec) for seed in range(size)]
    return normalizer().normalize({name: torch.from_numpy(np.stack([b[name] for b in built])) for name in built[0]})


def random_batch(spec: InputSpec, size: int = 1, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs of any spec, nothing masked."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.ones((size, *shape), dtype=torch.bool)
        if name.endswith("_mask")
        else torch.randn((size, *shape), generator=generator)
        for name, shape in spec.shapes().items()
    }


BACKBONE = BackboneRef(name="color_keypoints", model_id=MODEL[0], model_hash=MODEL[1], views=("front", "side", "hand"))
CONTRACT_TEXT = (CONFIG / "contracts" / "insertion.yaml").read_text()


def checkpoint(folder: Path, expert: str = "regression", fusion: str = "concat", size: str = "nano") -> Path:
    """A checkpoint with the weights of `seeded`."""
    vla = vla_config(expert, fusion).model_copy(update={"decoder": DecoderConfig(size=size)})
    config = CheckpointConfig(vla=vla, backbone=BACKBONE, training={"steps": 0})
    save_checkpoint(folder, config, seeded(vla).state_dict(), normalizer(), CONTRACT_TEXT)
    return folder
