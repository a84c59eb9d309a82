"""How fast the backbones are on this machine: `python -m insertion_vla_policy.backbones.benchmark [--tiny FOLDER]`.

Preprocessing and Qwen2.5-VL are timed beside transformers' own way in the same run, with random weights of the real
architecture (3B on a GPU, a small one on a CPU), and the two results are compared. Without a GPU, no GPU figure.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from insertion_vla_policy.backbones.qwen_prompt import PAD, Prompter
from insertion_vla_policy.backbones.qwen_settings import QwenSettings
from insertion_vla_policy.backbones.qwen_vl import QwenVl
from insertion_vla_policy.backbones.tiny_vl import load_tiny_vl
from insertion_vla_policy.images import PatchSettings, cut_patches, decode_jpeg
from insertion_vla_policy.protocol import Image

SENTENCE = "insert the needle into the green trocar"
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", PAD)
VIEWS = ["front", "side", "hand", "top", "left"]
# name: (text: hidden, feed-forward, layers, heads, key-value heads), (vision: hidden, feed-forward, depth, heads)
ARCHITECTURES = {
    "3B": ((2048, 11008, 36, 16, 2), (1280, 3420, 32, 16)),
    "small": ((256, 1024, 4, 4, 2), (256, 680, 8, 4)),
}


def best_ms(work: Callable[[], Any], repeats: int) -> float:
    """Shortest time of a call after one to warm up: what else runs on the machine only ever adds."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return 1e3 * min(times[1:])


def camera_picture(seed: int, height: int = 360, width: int = 640) -> np.ndarray:
    """Smooth random colours: as hard to resize as any picture, and JPEG can hold it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def preprocessing() -> None:
    """One 640x360 picture, one core."""
    picture = camera_picture(0)
    data = cv2.imencode(".jpg", picture)[1]
    reference = Qwen2VLImageProcessorPil()
    ours = cut_patches([picture]).values.reshape(-1, 3, 196)
    theirs = reference(images=[picture], return_tensors="np")["pixel_values"].reshape(-1, 3, 2, 196)[:, :, 0]
    print(f"decode a 640x360 JPEG                     {best_ms(lambda: decode_jpeg(data), 20):8.1f} ms")
    print(f"patches of a 640x360 picture              {best_ms(lambda: cut_patches([picture]), 20):8.1f} ms")
    slow, away = best_ms(lambda: reference(images=[picture], return_tensors="np"), 5), np.abs(ours - theirs).max()
    print(f"  transformers' PIL image processor       {slow:8.1f} ms, largest difference {away:.1e}")


def tiny(folder: Path) -> None:
    """tiny_vl on its views."""
    backbone = load_tiny_vl(folder)
    images = [Image(view, 0, camera_picture(i, 180, 320)) for i, view in enumerate(backbone.settings.views)]
    took = best_ms(lambda: backbone.encode(images, SENTENCE), 20)
    print(f"tiny_vl, {len(images)} views 320x180                  {took:8.1f} ms")


def qwen(architecture: str, device: str, repeats: int) -> None:
    """qwen2.5-vl on five views 640x360 against transformers' processor and plain eager forward, same weights."""
    images = [Image(view, 0, camera_picture(i)) for i, view in enumerate(VIEWS)]
    settings = QwenSettings(model="", views=VIEWS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        words = _tokenizer(path)
        prompter = Prompter(path, settings.prompt, words - 1)
    model = _model(architecture, device, words - 1, words)
    ours = QwenVl(model.model, prompter, settings, PatchSettings(), "random")
    processor = Qwen2VLImageProcessorPil()
    prompt = ours.hidden(images, SENTENCE)[1]
    ids = torch.from_numpy(prompt.ids)[None].to(device)
    kinds = torch.zeros_like(ids)
    kinds[0, torch.from_numpy(prompt.visual)] = 1

    def plain() -> torch.Tensor:
        inputs = processor(images=[image.rgb for image in images], return_tensors="pt").to(device)
        out = model(input_ids=ids, mm_token_type_ids=kinds, output_hidden_states=True, **inputs)
        return out.hidden_states[-1][0].float().cpu()

    with torch.inference_mode():
        model.set_attn_implementation("eager")
        reference, slow, slow_peak = plain(), best_ms(plain, repeats), peak_memory(plain)
        model.set_attn_implementation("sdpa")
        tokens = torch.from_numpy(ours.encode(images, SENTENCE).tokens)
        fast = best_ms(lambda: ours.encode(images, SENTENCE), repeats)
        fast_peak = peak_memory(lambda: ours.encode(images, SENTENCE))
    away = float((tokens - reference).norm() / reference.norm())
    print(f"{f'qwen2.5-vl {architecture} on {device}, 5 views 640x360':41s} {fast:8.1f} ms{fast_peak}")
    print(f"  transformers, processor and eager call  {slow:8.1f} ms{slow_peak}, {slow / fast:.1f} times as long")
    print(f"  relative difference of the features     {away:8.1e}")


def peak_memory(work: Callable[[], Any]) -> str:
    """Peak GPU memory of a call, in words; nothing on a CPU."""
    if not torch.cuda.is_available():
        return ""
    torch.cuda.reset_peak_memory_stats()
    work()
    return f", peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"


def _tokenizer(path: Path) -> int:
    """Saves a tokenizer of bytes and special tokens, <|image_pad|> the last; returns how many it knows."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.save(str(path))
    return int(tokenizer.get_vocab_size())


def _model(architecture: str, device: str, image_token: int, words: int) -> Any:
    (hidden, wide, layers, heads, shared), (v_hidden, v_wide, depth, v_heads) = ARCHITECTURES[architecture]
    pairs = hidden // heads // 2
    text = {
        "vocab_size": 151936 if architecture == "3B" else words,
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [pairs // 4, 3 * pairs // 8, 3 * pairs // 8],
        },
        "bos_token_id": None,
        "eos_token_id": None,
    }
    vision = {
        "hidden_size": v_hidden,
        "intermediate_size": v_wide,
        "depth": depth,
        "num_heads": v_heads,
        "out_hidden_size": hidden,
        "fullatt_block_indexes": list(range(7, depth, 8)),
    }
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, image_token_id=image_token, video_token_id=0)
    torch.manual_seed(0)
    with torch.device(device):
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        build: Any = Qwen2_5_VLForConditionalGeneration._from_config
        return build(config, dtype=dtype, attn_implementation="sdpa").eval().requires_grad_(False)


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description="Times the backbones on this machine.", allow_abbrev=False)
    parser.add_argument("--tiny", type=Path, default=Path("models/tiny_vl"), help="folder of the tiny_vl model")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    preprocessing()
    tiny(given.tiny)
    qwen("small", "cpu", 3)
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())
        qwen("3B", "cuda", 10)
    else:
        print("qwen2.5-vl 3B on a GPU                     not measured without a GPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
