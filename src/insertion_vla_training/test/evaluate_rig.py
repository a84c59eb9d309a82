"""A small checkpoint that sees, for tests of evaluations."""

from pathlib import Path

import torch
from insertion_vla_core.contract import load_contract
from insertion_vla_policy.checkpoint import save_checkpoint
from insertion_vla_policy.checkpoint_config import BackboneRef, CheckpointConfig
from insertion_vla_policy.inputs import input_spec
from insertion_vla_policy.model import build_model
from insertion_vla_policy.model_config import DecoderConfig, VlaConfig
from insertion_vla_policy.normalizer import vla_normalizer
from insertion_vla_policy.registry import load_backbone
from insertion_vla_sim.config import find_config

VIEWS, TOKENS, DIM = ("front", "side", "hand"), 6, 8


def diffusion_checkpoint(folder: Path, expert: str = "diffusion", stores: str = "store") -> Path:
    """An untrained policy on the key points of three views; its chunks are noise of about a millimetre."""
    config = find_config()
    contract = config / "contracts" / "insertion.yaml"
    torch.manual_seed(0)
    spec = input_spec(load_contract(contract), TOKENS, DIM)
    vla = VlaConfig(expert=expert, fusion="concat", inputs=spec, decoder=DecoderConfig(size="nano"))
    backbone = load_backbone("visual_servo", config / "calibration" / "sim.yaml")
    reference = BackboneRef(
        name="color_keypoints", model_id=backbone.model_id, model_hash=backbone.model_hash, views=VIEWS
    )
    ranges = {
        "joints": [(-0.5, 0.5)] * 6,
        "tool_pose": [(0.1, 0.3), (-0.1, 0.1), (0.0, 0.2), *[(-1.0, 1.0)] * 4],
        "force": [(0.0, 0.3)],
        "surface_distance": [(0.001, 0.006)],
        "action": [(-0.001, 0.001)] * 3 + [(-0.01, 0.01)] * 3 + [(0.0, 1.0)],
    }
    normalizer = vla_normalizer({name: _statistics(of) for name, of in ranges.items()}, spec)
    checkpoint = CheckpointConfig(vla=vla, backbone=reference, training={"steps": 3, "stores": stores})
    save_checkpoint(folder, checkpoint, build_model(vla).eval().state_dict(), normalizer, contract.read_text())
    return folder


def _statistics(ranges: list[tuple[float, float]]) -> dict[str, list[float]]:
    """Of evenly spread channels."""
    columns = [
        {
            "count": 1000, "q01": low, "q25": low, "median": (low + high) / 2, "q75": high, "q99": high,
            "mean": (low + high) / 2, "std": (high - low) / 12**0.5,
        }
        for low, high in ranges
    ]  # fmt: skip
    return {name: [column[name] for column in columns] for name in columns[0]}
