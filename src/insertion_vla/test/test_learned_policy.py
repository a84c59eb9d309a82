"""Nodes run a checkpoint by its folder, and refuse to configure with one that is damaged or made for another graph."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ros_graph import open_graph  # isort: skip  (sets the environment before rclpy is imported)
import torch
from insertion_vla.nodes import vlm
from insertion_vla_core.contract import load_contract
from insertion_vla_core.limits import load_limits
from insertion_vla_policy.checkpoint import save_checkpoint
from insertion_vla_policy.checkpoint_config import BackboneRef, CheckpointConfig
from insertion_vla_policy.inputs import input_spec
from insertion_vla_policy.model import build_model
from insertion_vla_policy.model_config import DecoderConfig, VlaConfig
from insertion_vla_policy.normalizer import Normalizer, normalizer_of
from insertion_vla_policy.registry import load_expert
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_sim.lockstep import Lockstep
from test_action_expert import CONTRACT, Lab

DOMAIN = 58
CALIBRATION = CONTRACT.parents[1] / "calibration" / "sim.yaml"


def checkpoint(folder: Path, expert: str = "diffusion", backbone: tuple[str, str] = ("m", "h")) -> Path:
    """A small policy that was never trained; it moves within a tenth of a millimetre."""
    torch.manual_seed(0)
    spec = input_spec(load_contract(CONTRACT), feature_tokens=2, feature_dim=8)
    vla = VlaConfig(expert=expert, inputs=spec, decoder=DecoderConfig(size="nano"))
    config = CheckpointConfig(
        vla=vla,
        backbone=BackboneRef(name="color_keypoints", model_id=backbone[0], model_hash=backbone[1], views=("a",)),
    )
    save_checkpoint(folder, config, build_model(vla).state_dict(), plain_scales(vla), CONTRACT.read_text())
    return folder


def plain_scales(config: VlaConfig) -> Normalizer:
    """Inputs as they are, and very small motions."""
    names = {name: shape[-1] for name, shape in config.inputs.shapes().items() if not name.endswith("_mask")}
    scales = {name: [[0.0] * size, [1.0] * size] for name, size in names.items()}
    return normalizer_of({**scales, "action": [[0.0] * 7, [1e-4] * 6 + [0.1]]})


@pytest.fixture
def lab(tmp_path) -> Iterator[Lab]:
    with open_graph(DOMAIN) as graph:
        yield Lab(graph, None, policy=str(checkpoint(tmp_path / "policy")), **{"run.steps": 2})


def test_a_checkpoint_plans_at_10_hz_and_says_so(lab):
    lab.goal = "one"
    chunks = lab.chunks.wait_count(4)
    assert chunks[0].policy_id.startswith("diffusion-nano-")
    threads: list[int] = []
    new = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))  # as that of the ticks
    new.start()
    new.join()
    assert threads == [1]
    lab.diagnostics.wait(lambda m: any("expert, model [s]" in v.key for s in m.status for v in s.values))
    # A machine that is busy with other things may skip ticks; none of them may be made up for.
    stamps_s = [c.header.stamp.sec + c.header.stamp.nanosec * 1e-9 for c in chunks]
    assert min(b - a for a, b in zip(stamps_s[:-1], stamps_s[1:], strict=True)) > 0.07


def test_features_of_another_backbone_end_it_with_the_cause(tmp_path):
    with open_graph(DOMAIN) as graph:
        lab = Lab(graph, None, policy=str(checkpoint(tmp_path / "policy", backbone=("m", "then"))), **{"run.steps": 1})
        lab.goal = "one"
        lab.error("'m' then, with which the policy was trained, got 'm' h")
        assert lab.node.phase == "inactive" and lab.chunks.messages == []


def test_what_cannot_be_run_is_refused_at_configure(lab, tmp_path):
    def refused(**parameters) -> str:
        node = lab.add(**parameters)
        lab.graph.call(node.trigger_configure)
        assert node.phase == "unconfigured"
        return node.problem

    good = checkpoint(tmp_path / "good", "regression")
    other = tmp_path / "contract.yaml"
    other.write_text(CONTRACT.read_text().replace("max_age_s: 1.2", "max_age_s: 0.9"))
    problem = refused(policy=str(good), contract_file=str(other))
    assert "policy against graph" in problem and "observations.features.max_age_s: 1.2 against 0.9" in problem
    assert "no GPU" in refused(policy=str(good), **{"run.device": "cuda"}) or torch.cuda.is_available()
    assert "'run.backend'" in refused(policy=str(good), **{"run.backend": "tensorrt"})
    assert "regression has one answer" in refused(policy=str(good), **{"run.guided_s": 0.2})
    os.truncate(good / "model.safetensors", 10_000)
    assert "truncated or damaged" in refused(policy=str(good))
    assert "no such folder" in refused(policy=str(tmp_path / "nothing"))


def test_vlm_refuses_a_backbone_or_views_that_are_not_those_of_the_training(tmp_path):
    with open_graph(DOMAIN) as graph:
        for views, word in ((["b"], "expected ['a'], with which the policy"), (["a"], "'color_keypoints' then, with")):
            folder = checkpoint(tmp_path / "policy", backbone=("color_keypoints", "then"))
            node = graph.add(vlm.Vlm, policy=str(folder), views=views, calibration_file=str(CALIBRATION))
            graph.call(node.trigger_configure)
            assert node.phase == "unconfigured" and word in node.problem


def test_the_same_object_plays_lockstep_episodes_that_repeat(tmp_path):
    """Without eyes, so that nothing is rendered."""
    spec = input_spec(load_contract(CONTRACT), feature_tokens=0, feature_dim=0)
    vla = VlaConfig(expert="diffusion", inputs=spec, decoder=DecoderConfig(size="nano"))
    torch.manual_seed(0)
    weights = build_model(vla).state_dict()
    save_checkpoint(tmp_path / "blind", CheckpointConfig(vla=vla), weights, plain_scales(vla), CONTRACT.read_text())
    policy = load_expert(tmp_path / "blind", CALIBRATION, options=RunOptions(steps=2))
    limits = load_limits(CONTRACT.parents[1] / "limits.yaml")
    ends = []
    for _ in range(2):
        episode = Lockstep(3, limits=limits, contract=load_contract(CONTRACT), policy=policy, time_limit_s=1.5)
        ends.append((episode.run(), episode.world.q.tolist()))
    assert ends[0][0].chunks >= 4 and ends[0][0].rejected == 0
    assert ends[0][1] == ends[1][1], "bit for bit"
