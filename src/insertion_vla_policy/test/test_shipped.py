"""The policies that come with the project: whole, of this contract, small, and found wherever the project is."""

import shutil
from pathlib import Path

import pytest
from insertion_vla_policy.checkpoint import load_checkpoint
from insertion_vla_policy.registry import SHIPPED, checkpoint_folder, load_backbone, load_expert
from observation_rig import CONFIG, CONTRACT

from insertion_vla_core import shared_files

MODELS = CONFIG.parent / "models"
CALIBRATION = CONFIG / "calibration" / "sim.yaml"
MOST_BYTES = 25_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_loads_for_the_contract_of_the_graph(name):
    assert load_backbone(name, CALIBRATION).model_id == "tiny_vl"
    assert load_expert(name, CALIBRATION, CONTRACT).policy_id
    assert load_checkpoint(MODELS / name).config.model.expert == name
    card = (MODELS / name / "MODEL_CARD.md").read_text()
    assert all(section in card for section in ("## Data", "## Offline validation", "## In closed loop", "## Limits"))


def test_they_are_small_enough_to_clone():
    assert sum(file.stat().st_size for file in MODELS.rglob("*") if file.is_file()) < MOST_BYTES


def test_an_installed_package_finds_them_beside_itself(tmp_path, monkeypatch):
    shutil.copytree(MODELS, tmp_path / "share" / "insertion_vla_policy" / "models")
    monkeypatch.setattr(shared_files, "__file__", str(tmp_path / "elsewhere" / "shared_files.py"))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    assert checkpoint_folder("diffusion") == tmp_path / "share" / "insertion_vla_policy" / "models" / "diffusion"
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/nowhere")
    with pytest.raises(ValueError, match="expected the policy 'diffusion' in a folder models/, found none: install"):
        checkpoint_folder("diffusion")


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "diffusion").mkdir()
    assert checkpoint_folder("diffusion") == MODELS / "diffusion"
    assert checkpoint_folder("./diffusion") == Path("./diffusion") and checkpoint_folder("visual_servo") is None
