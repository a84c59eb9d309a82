"""Stage 2: the adapter of a Qwen2.5-VL learns on live images, and the live node reads it back."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from image_rig import VIEWS
from insertion_vla_policy.registry import load_backbone
from train_rig import arguments, make_store, records, run, weights

sys.path.insert(0, str(Path(__file__).parents[2] / "insertion_vla_policy" / "test"))
from tiny_qwen import make_model

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A folder with a tiny Qwen2.5-VL inside and its settings."""
    folder = tmp_path_factory.mktemp("qwen")
    make_model(folder / "model")
    settings = {"backbone": "qwen2.5-vl", "model": "model", "views": list(VIEWS), "pooling": "view_mean"}
    settings |= {"min_pixels": 3136, "max_pixels": 6272}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def test_the_adapter_learns_is_saved_and_gives_the_features_that_the_policy_expects(backbone, tmp_path):
    store = make_store(tmp_path, {"a": 1, "k": 3})
    words = ("--stage", "2", "--backbone.folder", str(backbone), "--backbone.lr", "1e-2", "--optim.steps", "4")
    words += ("--backbone.augment", "0.5", "--optim.batch-size", "2", "--validation.every", "2")
    plain = arguments(tmp_path / "plain", store, *words, "--validation.samples", "2", features="none")
    plain[plain.index("8")] = "2"
    assert run(*plain, "--backbone.no-checkpointing") == 0
    checked = [word.replace(str(tmp_path / "plain"), str(tmp_path / "checked")) for word in plain]
    assert run(*checked) == 0
    # Checkpointing saves memory and changes nothing.
    one, two = (weights(tmp_path / name / "checkpoint") for name in ("plain", "checked"))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)
    assert len(records(tmp_path / "plain")) == 4

    # The policy's folder names the backbone with its adapter, whose hash is checked when it is loaded.
    loaded = load_backbone(tmp_path / "plain" / "checkpoint", Path("unused.yaml"))
    config = yaml.safe_load((tmp_path / "plain" / "checkpoint" / "config.yaml").read_text())
    assert config["backbone"]["model_hash"] == loaded.model_hash
    untrained = load_backbone(backbone, Path("unused.yaml"))
    assert loaded.model_hash != untrained.model_hash
    adapter = tmp_path / "plain" / "checkpoint" / "backbone" / "adapter"
    assert (adapter / "adapter_model.safetensors").is_file()
