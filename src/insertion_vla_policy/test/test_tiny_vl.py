"""The shipped tiny_vl finds the trocar that is named, says when none is, and a wrong model folder is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from insertion_vla_policy.backbones.folder import load_backbone_folder
from insertion_vla_policy.backbones.tiny_net import POINTS, STRIDE, TinyConfig, TinyNet
from insertion_vla_policy.backbones.tiny_text import word_ids
from insertion_vla_policy.backbones.tiny_vl import HEAD, TinyVl, load_tiny_vl, without_batch_norm
from insertion_vla_policy.images import decode_jpeg
from insertion_vla_policy.protocol import Image
from safetensors.torch import load_file, save_file

MODEL = Path(__file__).resolve().parents[3] / "models" / "tiny_vl"
DATA = Path(__file__).parent / "data"
MOUTHS = json.loads((DATA / "mouths.json").read_text())
VIEWS = ("front", "side", "hand")
SIZE = np.array([320, 180])


@pytest.fixture(scope="module")
def backbone() -> TinyVl:
    torch.set_num_threads(1)
    return load_tiny_vl(MODEL)


def pictures(seed: int, enlarge: int = 1) -> list[Image]:
    """The stored set of a scene, 320x180, or as a larger camera would see it."""
    images = []
    for view in VIEWS:
        rgb = decode_jpeg((DATA / f"seed{seed}_{view}.jpg").read_bytes())
        rgb = np.asarray(cv2.resize(rgb, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC), np.uint8)
        images.append(Image(view, 100 + len(images), rgb))
    return images


def mouths(backbone: TinyVl, images: list[Image], sentence: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (views, 2) and confidence (views,) of the mouth."""
    tokens = backbone.encode(images, sentence).tokens.reshape(len(images), POINTS + 1, -1)
    return tokens[:, 0, 2:4] * SIZE - 0.5, tokens[:, 0, 4]


def test_the_named_mouth_is_found_to_a_fraction_of_a_pixel(backbone: TinyVl) -> None:
    errors, found = [], []
    for seed in (3, 12, 23):
        for colour in ("red", "green", "blue"):
            pixels, confidence = mouths(backbone, pictures(seed), f"Insert the needle into the {colour} trocar")
            for view, pixel, sure in zip(VIEWS, pixels, confidence, strict=True):
                if (true := MOUTHS[f"seed{seed}_{view}.jpg"].get(colour)) is not None:
                    found.append(sure > 0.5)
                    errors.append(float(np.hypot(*(pixel - true))))
    assert np.median(errors) < 0.5
    assert np.mean(np.array(errors) < 1.5) > 0.9
    assert np.mean(found) > 0.9


def test_the_sentence_decides_which_one_however_it_is_said(backbone: TinyVl) -> None:
    images = pictures(12)
    wanted, _ = mouths(backbone, images, "green")
    for sentence in ("the green trocar", "Insert the needle through the GREEN trocar!", "green one, please"):
        pixels, confidence = mouths(backbone, images, sentence)
        assert np.abs(pixels - wanted).max() < 1.0, sentence
        assert confidence.min() > 0.5, sentence
    for other in ("red", "blue"):
        assert np.linalg.norm(mouths(backbone, images, other)[0] - wanted, axis=1).min() > 5.0


@pytest.mark.parametrize("sentence", ["", "insert the needle", "the purple trocar", "the magenta one", "red or blue"])
def test_a_sentence_that_names_no_trocar_gives_no_confidence(backbone: TinyVl, sentence: str) -> None:
    for seed in (3, 12, 23):
        tokens = backbone.encode(pictures(seed), sentence).tokens
        assert tokens[:, 4].max() < 0.5, f"{sentence!r}: {tokens[:, 4].max():.2f}"
        assert np.isfinite(tokens).all()


def test_tokens_have_the_columns_that_the_docstring_promises(backbone: TinyVl) -> None:
    features = backbone.encode(pictures(3), "red")
    tokens = features.tokens.reshape(3, 3, -1)
    assert features.tokens.dtype == np.float32 and tokens.shape[2] == HEAD + backbone.settings.network.width
    assert features.view_names == VIEWS and features.view_stamps_ns == (100, 101, 102)
    assert np.array_equal(tokens[..., 0], np.repeat(np.arange(3.0)[:, None], 3, 1))
    assert np.array_equal(tokens[..., 1], np.repeat(np.arange(3.0)[None], 3, 0))
    assert ((tokens[:, :2, 2:6] >= 0.0) & (tokens[:, :2, 2:6] <= 1.0)).all()
    assert (tokens[:, 2, 2:6] == 0.0).all() and np.abs(tokens[:, 2, HEAD:]).max() > 0.1
    assert features.model_id == "tiny_vl" and len(features.model_hash) == 16


def test_a_camera_of_twice_the_resolution_gives_the_same_key_points(backbone: TinyVl) -> None:
    small, _ = mouths(backbone, pictures(23), "blue")
    large, _ = mouths(backbone, pictures(23, enlarge=2), "blue")
    assert np.abs(small - large).max() < 0.5


def test_folding_batch_norm_changes_nothing_but_the_time() -> None:
    torch.manual_seed(0)
    net = TinyNet(TinyConfig(width=8, stages=(8, 12, 16)))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    picture = torch.rand(2, 3, 44, 60) * 2.0 - 1.0
    with torch.no_grad():
        before = net.eval()(picture, ["red", "blue"])
        after = without_batch_norm(net)(picture, ["red", "blue"])
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    assert torch.allclose(before.heat, after.heat, atol=1e-3)
    assert before.heat.shape == (2, 2, POINTS, 44 // STRIDE, 60 // STRIDE)


def test_words_do_not_depend_on_case_or_punctuation() -> None:
    assert word_ids("Into the RED, please!") == word_ids("into the red please")
    assert word_ids("") == [] and len(word_ids("word " * 1000)) == 64


def test_the_hash_is_that_of_the_files(backbone: TinyVl, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    assert load_tiny_vl(tmp_path / "model").model_hash == backbone.model_hash
    weights = load_file(tmp_path / "model" / "model.safetensors")
    weights["map.bias"][0] += 0.5
    save_file(weights, tmp_path / "model" / "model.safetensors")
    assert load_tiny_vl(tmp_path / "model").model_hash != backbone.model_hash


def test_a_wrong_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    def refused(change: Any, sentence: str) -> None:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(MODEL, folder)
        change(folder, folder / "model.safetensors")
        with pytest.raises(ValueError, match=sentence):
            load_tiny_vl(folder)

    def rewrite(path: Path, change: Any) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    def edit(folder: Path, **entries: Any) -> None:
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **entries}))

    refused(lambda f, w: w.unlink(), "there is no such file: copy the whole model folder")
    refused(lambda f, w: (f / "config.yaml").unlink(), "expected a tiny_vl model in .* could not read it")
    refused(lambda f, w: w.write_bytes(w.read_bytes()[:-9]), "damaged or of another kind; copy it again")
    refused(lambda f, w: torch.save({"a": torch.ones(1)}, w), "damaged or of another kind")
    refused(lambda f, w: rewrite(w, lambda t: t.pop("map.bias")), "1 differ, first 'map.bias'")
    refused(
        lambda f, w: rewrite(w, lambda t: t["map.bias"].fill_(np.nan)), "NaN or infinity in 'map.bias': train again"
    )
    refused(lambda f, w: edit(f, network={"width": 16}), "do not belong together")
    refused(lambda f, w: edit(f, colour="red"), "'colour' is not a known entry")
    refused(lambda f, w: edit(f, backbone="tiny_v"), "'backbone'")


def test_a_folder_says_itself_which_backbone_it_is(backbone: TinyVl, tmp_path: Path) -> None:
    assert load_backbone_folder(MODEL).model_hash == backbone.model_hash
    with pytest.raises(ValueError, match="expected a backbone's settings in .*could not read them"):
        load_backbone_folder(tmp_path)
    (tmp_path / "config.yaml").write_text("backbone: tiny_vlm")
    with pytest.raises(ValueError, match="expected backbone tiny_vl or qwen2.5-vl in .*got 'tiny_vlm'"):
        load_backbone_folder(tmp_path)


def test_other_views_are_refused_by_name(backbone: TinyVl) -> None:
    with pytest.raises(ValueError, match="expected the views front, side, hand in this order, got front, side"):
        backbone.encode(pictures(3)[:2], "red")
