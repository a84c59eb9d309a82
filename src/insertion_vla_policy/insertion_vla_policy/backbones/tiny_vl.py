"""Backbone `tiny_vl`: a CNN of about a million parameters that finds the trocar a sentence names, in every view.

Tokens are (3 * views, 6 + width) float32, three rows per view: mouth, rear ring, the picture as a whole.
    [view index, row (0 mouth, 1 rear ring, 2 picture), u, v (0..1 across width and height), confidence 0..1,
     spread (standard deviation of the heat map as a share of the width), embedding ...]
The first five columns are those of `color_keypoints`, so the expert `visual_servo` takes either. A key point that is
hidden, outside the picture or not named has confidence 0. The picture's row has zeros up to its embedding.

A model is a folder: model.safetensors, config.yaml, MODEL_CARD.md. It is made by `train_tiny_vl`.
"""

import hashlib
import time
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from insertion_vla_core.strict_yaml import StrictModel, load_strict
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from insertion_vla_policy.backbones.tiny_net import POINTS, STRIDE, TinyConfig, TinyNet
from insertion_vla_policy.images import checked_views, small_batch
from insertion_vla_policy.protocol import Features, Image

TOKEN_FORMAT = "tiny_vl tokens 1"
HEAD = 6  # columns before the embedding
MIN_CONFIDENCE = 0.1  # below it a key point counts as not found


class NetworkSizes(StrictModel):
    """Sizes of the network, as in `tiny_net.TinyConfig`."""

    width: int = Field(default=32, ge=8, le=256)
    stages: list[int] = Field(default=[64, 96, 128], min_length=3, max_length=3)

    def config(self) -> TinyConfig:
        """The network's own form."""
        first, second, third = self.stages
        return TinyConfig(self.width, (first, second, third))


class TinyVlFile(StrictModel):
    """config.yaml of a model folder."""

    backbone: Literal["tiny_vl"]
    views: list[str] = Field(min_length=1)
    width: int = Field(ge=64, le=2048, multiple_of=STRIDE)
    height: int = Field(ge=64, le=2048, multiple_of=STRIDE)
    network: NetworkSizes = NetworkSizes()


class TinyVl:
    """See the module's docstring. Use `load_tiny_vl`."""

    model_id = "tiny_vl"

    def __init__(self, net: TinyNet, settings: TinyVlFile, model_hash: str, device: str = "cpu") -> None:
        self.model_hash = model_hash
        self.settings = settings
        self._views = tuple(settings.views)
        self._device = torch.device(device)
        self._net = without_batch_norm(net.eval()).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, images: list[Image], instruction: str) -> Features:
        """Tokens of one image set; ValueError for other views than the model's or pictures that are not RGB."""
        started = time.perf_counter()
        pictures = checked_views(images, self._views)
        batch = torch.from_numpy(small_batch(pictures, self.settings.width, self.settings.height))
        with torch.inference_mode():
            tokens = self._tokens(batch.to(self._device).permute(0, 3, 1, 2), instruction)
        return Features(
            tokens=tokens.cpu().numpy(),
            instruction=instruction,
            view_names=self._views,
            view_stamps_ns=tuple(image.stamp_ns for image in images),
            model_id=self.model_id,
            model_hash=self.model_hash,
            inference_s=time.perf_counter() - started,
        )

    def _tokens(self, batch: torch.Tensor, instruction: str) -> torch.Tensor:
        points = self._net(batch, [instruction])
        views, width = len(batch), points.local.shape[-1]
        rows = torch.zeros(views, POINTS + 1, HEAD + width, device=batch.device)
        rows[..., 0] = torch.arange(views, device=batch.device)[:, None]
        rows[..., 1] = torch.arange(POINTS + 1, device=batch.device)
        cells = torch.tensor([batch.shape[3] / STRIDE, batch.shape[2] / STRIDE], device=batch.device)
        rows[:, :POINTS, 2:4] = (points.uv[:, 0] + 0.5) / cells
        confidence = points.confidence[:, 0].sigmoid()
        rows[:, :POINTS, 4] = confidence * (confidence >= MIN_CONFIDENCE)
        rows[:, :POINTS, 5] = points.spread[:, 0] / cells[0]
        rows[:, :POINTS, HEAD:] = F.layer_norm(points.local[:, 0], (width,))
        rows[:, POINTS, HEAD:] = F.layer_norm(points.appearance, (width,))
        return rows.flatten(0, 1)


def load_tiny_vl(folder: str | Path, device: str = "cpu") -> TinyVl:
    """Loads a model folder, strictly.

    Raises:
        ValueError: something is missing, damaged, or belongs to another network; the sentence says what.
    """
    folder = Path(folder)
    settings = load_strict(folder / "config.yaml", TinyVlFile, "a tiny_vl model")
    weights = folder / "model.safetensors"
    net = TinyNet(settings.network.config())
    load_weights(net, weights)
    digest = hashlib.sha256(TOKEN_FORMAT.encode())
    digest.update((folder / "config.yaml").read_bytes())
    digest.update(weights.read_bytes())
    return TinyVl(net, settings, digest.hexdigest()[:16], device)


def load_weights(net: nn.Module, path: Path) -> None:
    """Reads weights into a network, strictly; ValueError names what differs."""
    if not path.is_file():
        raise ValueError(f"expected the weights in {path}, there is no such file: copy the whole model folder")
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"expected safetensors in {path}, got {error}: the file is damaged or of another kind; copy it again"
        ) from error
    wanted = net.state_dict()
    wrong = sorted(set(wanted) ^ set(found)) or [n for n in wanted if wanted[n].shape != found[n].shape]
    if wrong:
        raise ValueError(
            f"expected the weights of the network that config.yaml describes in {path}; {len(wrong)} differ, "
            f"first '{wrong[0]}': the two files do not belong together"
        )
    if broken := [name for name, tensor in found.items() if not torch.isfinite(tensor).all()]:
        raise ValueError(f"expected finite weights in {path}, got NaN or infinity in '{broken[0]}': train again")
    net.load_state_dict(found)


def without_batch_norm(net: TinyNet) -> TinyNet:
    """Folds each batch norm into the convolution before it, in place: the same answers, a fifth faster."""
    for block in net.modules():
        if isinstance(block, nn.Sequential):
            for index in range(len(block) - 1):
                conv, norm = block[index], block[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    block[index], block[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return net
