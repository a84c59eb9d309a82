"""The backbone qwen2.5-vl on a tiny random model of the published form: loaded from disk, equal to transformers."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from insertion_vla_core.strict_yaml import parse_strict
from insertion_vla_policy.backbones.folder import load_backbone_folder
from insertion_vla_policy.backbones.qwen_load import load_qwen
from insertion_vla_policy.backbones.qwen_settings import PROMPT, QwenSettings
from insertion_vla_policy.protocol import Image
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_qwen import HIDDEN, LAYERS, fast_tokenizer, make_model
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

SENTENCE = "insert the needle into the green trocar"
VIEWS = ["front", "hand"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_model(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    sizes = ((180, 320), (150, 200))  # windows of all shapes at the edges, and views of two sizes
    return [
        Image(view, 10 + i, rng.integers(0, 256, (*size, 3), np.uint8))
        for i, (view, size) in enumerate(zip(VIEWS, sizes, strict=True))
    ]


@pytest.fixture(scope="module")
def reference(folder: Path, images: list[Image]) -> list[np.ndarray]:
    """Hidden states (n, d) of every layer by transformers' own way: its processor's inputs, plain eager forward."""
    pixels = Qwen2VLImageProcessorPil()(images=[image.rgb for image in images], return_tensors="pt")
    pads = ["<|image_pad|>" * (int(grid.prod()) // 4) for grid in pixels["image_grid_thw"]]
    pictures = "".join(f"<|vision_start|>{pad}<|vision_end|>" for pad in pads)
    text = PROMPT.replace("{images}", pictures).replace("{instruction}", SENTENCE)
    tokenizer = fast_tokenizer(folder)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    kinds = (ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        out = model(input_ids=ids, mm_token_type_ids=kinds, output_hidden_states=True, **pixels)
    return [states[0].numpy() for states in out.hidden_states]


def settings(folder: Path, **changes: Any) -> QwenSettings:
    return QwenSettings(model=str(folder), views=VIEWS, device="cpu", **changes)


def test_features_equal_the_plain_forward_of_transformers(
    folder: Path, images: list[Image], reference: list[np.ndarray]
) -> None:
    backbone = load_qwen(settings(folder))
    features = backbone.encode(images, SENTENCE)
    assert features.tokens.dtype == np.float32 and backbone.token_dim == HIDDEN
    assert features.tokens.shape == reference[-1].shape
    assert np.abs(features.tokens - reference[-1]).max() < 1e-5
    assert features.view_names == tuple(VIEWS) and features.view_stamps_ns == (10, 11)
    other = backbone.encode(images, "insert the needle into the red trocar").tokens
    assert np.abs(other[-1] - features.tokens[-1]).max() > 1e-3, "the instruction changes the tokens"
    assert np.array_equal(backbone.encode(images, SENTENCE).tokens, features.tokens)


@pytest.mark.parametrize("layer", [0, 1, -2])
def test_a_layer_is_that_of_transformers_and_no_other_is_loaded(
    folder: Path, images: list[Image], reference: list[np.ndarray], layer: int
) -> None:
    backbone = load_qwen(settings(folder, layer=layer))
    assert len(backbone.model.language_model.layers) == layer % (LAYERS + 1)
    assert np.abs(backbone.encode(images, SENTENCE).tokens - reference[layer]).max() < 1e-5


def test_poolings_are_means_of_the_right_positions(
    folder: Path, images: list[Image], reference: list[np.ndarray]
) -> None:
    hidden = reference[-1]
    counts = [6 * 11, 5 * 7]
    start = len(fast_tokenizer(folder)(PROMPT.split("{images}")[0])["input_ids"]) + 1
    first = hidden[start : start + counts[0]]
    second = hidden[start + counts[0] + 2 : start + counts[0] + 2 + counts[1]]
    wanted = {
        "visual": np.concatenate([first, second]),
        "view_mean": np.stack([first.mean(0), second.mean(0)]),
        "mean": hidden.mean(0, keepdims=True),
        "last": hidden[-1:],
    }
    for pooling, tokens in wanted.items():
        got = load_qwen(settings(folder, pooling=pooling)).encode(images, SENTENCE).tokens
        assert got.shape == tokens.shape and np.abs(got - tokens).max() < 1e-5, pooling


def test_half_precision_is_near(folder: Path, images: list[Image], reference: list[np.ndarray]) -> None:
    tokens = load_qwen(settings(folder, dtype="bfloat16")).encode(images, SENTENCE).tokens
    away = np.linalg.norm(tokens - reference[-1]) / np.linalg.norm(reference[-1])
    assert tokens.dtype == np.float32 and away < 0.05


def test_the_hash_follows_everything_that_changes_the_features(folder: Path, tmp_path: Path) -> None:
    plain = load_qwen(settings(folder)).model_hash
    assert load_qwen(settings(folder)).model_hash == plain
    assert load_qwen(settings(folder, layer=LAYERS, attention="eager")).model_hash == plain, "the same numbers"
    prompt = PROMPT.replace("helpful", "careful")
    changes: list[dict[str, Any]] = [{"layer": 1}, {"pooling": "mean"}, {"dtype": "bfloat16"}, {"prompt": prompt}]
    changes += [{"max_pixels": 50_000}, {"revision": "abc"}]
    hashes = {load_qwen(settings(folder, **change)).model_hash for change in changes}
    hashes.add(load_qwen(QwenSettings(model=str(folder), views=["hand", "front"], device="cpu")).model_hash)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert load_qwen(settings(copy)).model_hash == plain, "where the files stand does not matter"
    weights = copy / "model.safetensors"
    before = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time, one bit changed
    hashes.add(load_qwen(settings(copy)).model_hash)
    assert len(hashes | {plain}) == len(changes) + 3


def test_an_adapter_changes_the_features_as_peft_does(folder: Path, images: list[Image], tmp_path: Path) -> None:
    plain = load_qwen(settings(folder))
    config = LoraConfig(r=4, lora_alpha=8, target_modules=r"language_model.*\.(q|k|v|o)_proj")
    adapted = get_peft_model(load_qwen(settings(folder)).model, config)
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0.0, 0.2)
    adapted.save_pretrained(tmp_path / "adapter")
    plain_tokens = plain.encode(images, SENTENCE).tokens
    plain.model = adapted.base_model.model
    with_peft = plain.encode(images, SENTENCE).tokens
    loaded = load_qwen(settings(folder, adapter=str(tmp_path / "adapter")))
    merged = loaded.encode(images, SENTENCE).tokens
    assert np.abs(merged - plain_tokens).max() > 0.01
    assert np.abs(merged - with_peft).max() < 1e-4
    assert loaded.model_hash != plain.model_hash

    written = settings(folder, adapter="adapter").model_dump(mode="json")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(written))
    beside = load_backbone_folder(tmp_path)
    assert beside.model_hash == loaded.model_hash, "a folder's paths start at the folder"
    assert np.array_equal(beside.encode(images, SENTENCE).tokens, merged)

    with pytest.raises(ValueError, match="adapter .* to fit the model; .* tensors do not"):
        load_qwen(settings(folder, layer=1, adapter=str(tmp_path / "adapter")))
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(ValueError, match="lacks adapter_model.safetensors"):
        load_qwen(settings(folder, adapter=str(tmp_path / "adapter")))


def test_gradients_reach_the_language_tower(folder: Path, images: list[Image]) -> None:
    backbone = load_qwen(settings(folder))
    weight = backbone.model.language_model.layers[0].self_attn.q_proj.weight.requires_grad_(True)
    hidden, _ = backbone.hidden(images, SENTENCE)
    hidden.square().mean().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_bad_files_are_refused_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    def refused(change: Any, sentence: str) -> None:
        copy = tmp_path / "model"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change(copy)
        with pytest.raises(ValueError, match=sentence):
            load_qwen(settings(copy))

    def rewrite(copy: Path, change: Any) -> None:
        tensors = load_file(copy / "model.safetensors")
        change(tensors)
        save_file(tensors, copy / "model.safetensors", {"format": "pt"})

    def edit(copy: Path, name: str, **entries: Any) -> None:
        file = copy / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))

    weights = "model.safetensors"
    refused(lambda c: (c / "tokenizer.json").unlink(), "lacks tokenizer.json: copy the whole model")
    refused(lambda c: (c / weights).rename(c / "pytorch_model.bin"), r"lacks \*.safetensors")
    refused(lambda c: (c / weights).write_bytes((c / weights).read_bytes()[:5000]), "damaged, copy it again")
    refused(lambda c: torch.save({"a": torch.ones(1)}, c / weights), "expected safetensors in .*damaged")
    refused(lambda c: rewrite(c, lambda t: t.pop("visual.blocks.0.attn.qkv.weight")), "missing or of another shape")
    refused(
        lambda c: rewrite(c, lambda t: t["visual.merger.mlp.0.bias"].fill_(np.nan)), "got NaN or infinity in visual"
    )
    refused(lambda c: edit(c, "config.json", model_type="qwen2_vl"), "its config.json says qwen2_vl")
    refused(lambda c: (c / "config.json").write_text("[]"), "expected a model's configuration in .*copy it again")
    refused(lambda c: edit(c, "config.json", image_token_id=3), "do not belong together")
    refused(lambda c: (c / "tokenizer.json").write_text("{}"), "expected a tokenizer in")


def test_bad_settings_and_inputs_are_refused(folder: Path, images: list[Image]) -> None:
    with pytest.raises(ValueError, match="expected a revision .* for the hub model Qwen/Qwen2.5-VL-3B-Instruct"):
        load_qwen(QwenSettings(model="Qwen/Qwen2.5-VL-3B-Instruct", views=VIEWS))
    with pytest.raises(ValueError, match="expected the folder of a model or a hub id"):
        load_qwen(QwenSettings(model="/nowhere/qwen", views=VIEWS))
    with pytest.raises(ValueError, match="expected layer between -4 and 3, got 4"):
        load_qwen(settings(folder, layer=4))
    with pytest.raises(ValueError, match="expected a device of this machine, got 'gpu'"):
        load_qwen(settings(folder).model_copy(update={"device": "gpu"}))
    with pytest.raises(ValueError, match="expected a GPU and the package flash_attn .*: say auto"):
        load_qwen(settings(folder, attention="flash_attention_2"))
    with pytest.raises(ValueError, match="'poolling' is not a known entry; did you mean 'pooling'"):
        parse_strict("model: x\nviews: [front]\npoolling: mean", QwenSettings, "a backbone", "a policy")
    with pytest.raises(ValueError, match="once each in the prompt"):
        settings(folder, prompt="{images} no words")
    backbone = load_qwen(settings(folder))
    with pytest.raises(ValueError, match="leave special tokens out"):
        backbone.encode(images, "insert <|image_pad|>")
    with pytest.raises(ValueError, match="expected an instruction in words"):
        backbone.encode(images, "  ")
    with pytest.raises(ValueError, match="expected the views front, hand in this order, got hand, front"):
        backbone.encode(images[::-1], SENTENCE)
    with pytest.raises(ValueError, match="expected view 'hand' as uint8"):
        backbone.encode([images[0], dataclasses.replace(images[1], rgb=np.zeros((9, 9), np.uint8))], SENTENCE)
