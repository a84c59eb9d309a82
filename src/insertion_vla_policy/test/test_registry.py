"""A policy by its folder: both halves come from there, and belong together."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from insertion_vla_core.contract import parse_contract
from insertion_vla_policy.backbones.color_keypoints import ColorKeypoints
from insertion_vla_policy.checkpoint import save_checkpoint
from insertion_vla_policy.checkpoint_config import BackboneRef, CheckpointConfig
from insertion_vla_policy.policy import Policy
from insertion_vla_policy.registry import backbone_views, load_backbone, load_expert, load_policy
from insertion_vla_policy.run_options import RunOptions
from model_rig import CONTRACT_TEXT, SPEC, checkpoint, normalizer, seeded, vla_config
from observation_rig import CONFIG, CONTRACT

CALIBRATION = CONFIG / "calibration" / "sim.yaml"


def with_backbone(folder, **changes):
    """A checkpoint that was trained with the backbone that is installed here, but for the changes."""
    installed = ColorKeypoints()
    given = {"name": "color_keypoints", "model_id": installed.model_id, "model_hash": installed.model_hash}
    config = CheckpointConfig(
        vla=vla_config(), backbone=BackboneRef(**{**given, "views": ("front", "side"), **changes})
    )
    save_checkpoint(folder, config, seeded(config.model).state_dict(), normalizer(), CONTRACT_TEXT)
    return folder


def test_a_folder_gives_both_halves(tmp_path):
    backbone, expert = load_policy(with_backbone(tmp_path / "policy"), CALIBRATION)
    assert isinstance(backbone, ColorKeypoints) and isinstance(expert, Policy)
    assert backbone_views(tmp_path / "policy") == ("front", "side") and backbone_views("visual_servo") == ()


def test_options_and_contract_reach_the_policy(tmp_path):
    folder = checkpoint(tmp_path / "policy", "diffusion")
    expert = load_expert(str(folder), CALIBRATION, CONTRACT, RunOptions(steps=3))
    assert expert.options.steps == 3
    live = parse_contract(CONTRACT_TEXT.replace("max_age_s: 1.2", "max_age_s: 2.0"), "here")
    with pytest.raises(ValueError, match="observations.features.max_age_s: 1.2 against 2.0"):
        load_expert(folder, CALIBRATION, live)


def test_a_backbone_that_has_changed_since_the_training_is_refused(tmp_path):
    folder = with_backbone(tmp_path / "policy", model_hash="of-then")
    with pytest.raises(ValueError, match="'color_keypoints' of-then, with which .* got 'color_keypoints' [0-9a-f]+"):
        load_backbone(folder, CALIBRATION)


def test_a_backbone_folder_inside_the_checkpoint_comes_before_one_elsewhere(tmp_path, monkeypatch):
    folder = with_backbone(tmp_path / "policy", name="tiny_vl", source="backbone")
    (folder / "backbone").mkdir()
    (tmp_path / "backbone").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(str(folder / "backbone"))):
        load_backbone(folder, CALIBRATION)
    shutil.rmtree(folder / "backbone")
    with pytest.raises(ValueError, match=r"in backbone/config.yaml"):
        load_backbone(folder, CALIBRATION)


def test_the_folder_of_a_backbone_alone_is_one_too(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"backbone": "tinny_vl"}))
    with pytest.raises(ValueError, match="expected backbone tiny_vl or qwen2.5-vl .* got 'tinny_vl'"):
        load_backbone(tmp_path, CALIBRATION)


def test_a_blind_policy_has_no_backbone(tmp_path):
    blind = SPEC.model_copy(update={"feature_tokens": 0, "feature_dim": 0})
    config = CheckpointConfig(vla=vla_config(spec=blind))
    save_checkpoint(tmp_path / "blind", config, seeded(config.model).state_dict(), normalizer(), CONTRACT_TEXT)
    with pytest.raises(ValueError, match="got one without a backbone: run it without vlm"):
        load_backbone(tmp_path / "blind", CALIBRATION)


@pytest.mark.parametrize("load", [load_backbone, load_expert])
def test_what_is_neither_a_name_nor_a_checkpoint_is_refused(load, tmp_path):
    with pytest.raises(ValueError, match="no such folder: check the path"):
        load(str(tmp_path / "nothing"), CALIBRATION)
    with pytest.raises(ValueError, match="expected a policy's configuration in the YAML file"):
        load(tmp_path, CALIBRATION)
    with pytest.raises(ValueError, match="visual_servo or the path of a checkpoint's folder, got 'nothing'"):
        load("nothing", CALIBRATION)


def test_the_classical_policy_needs_no_torch():
    code = (
        "import sys; from insertion_vla_policy.registry import load_policy, limit_threads; "
        f"load_policy('visual_servo', {str(CALIBRATION)!r}); limit_threads(1); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'diffusers', 'safetensors')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
