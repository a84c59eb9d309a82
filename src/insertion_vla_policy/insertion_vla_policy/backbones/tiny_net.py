"""The network of `tiny_vl`: a small U-shaped CNN, and key points as the answers of its map to a sentence's queries.

The trunk sees a picture once, whatever is asked. A sentence gives one query per key point; the dot product of a query
with the map at a quarter of the resolution is a heat map, and its centre of mass around the peak is the key point, much
finer than a cell. Confidence is learned: the point is there, in plain view, and the sentence names it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from insertion_vla_policy.backbones.tiny_text import SentenceEmbedding

STRIDE = 4
POINTS = 2  # mouth, rear ring
WINDOW = 2  # cells on each side of the peak that its centre is taken from
QUERY_SCALE = 8.0


@dataclass(frozen=True)
class TinyConfig:
    """Sizes of the network.

    Attributes:
        width: channels of the map that is asked.
        stages: channels at 1/8, 1/16 and 1/32 of the resolution.
    """

    width: int = 32
    stages: tuple[int, int, int] = (64, 96, 128)


@dataclass(frozen=True)
class KeyPoints:
    """Answers for n pictures and s sentences.

    Attributes:
        heat: (n, s, POINTS, h, w) logits.
        uv: (n, s, POINTS, 2) in cells of the map, 0 at the centre of the first one.
        spread: (n, s, POINTS) standard deviation of the whole heat map [cells]: large where it is of two minds.
        confidence: (n, s, POINTS) logits.
        local: (n, s, POINTS, width) the map at the key points.
        appearance: (n, width) embedding of the whole picture.
    """

    heat: Tensor
    uv: Tensor
    spread: Tensor
    confidence: Tensor
    local: Tensor
    appearance: Tensor


def _convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class TinyNet(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: TinyConfig = TinyConfig()) -> None:
        super().__init__()
        self.config = config
        width, (c8, c16, c32) = config.width, config.stages
        self.stem = nn.Sequential(_convolution(3, 16, 2), _convolution(16, width, 2))
        self.fine = _Residual(width)
        self.down8 = nn.Sequential(_convolution(width, c8, 2), _Residual(c8))
        self.down16 = nn.Sequential(_convolution(c8, c16, 2), _Residual(c16))
        self.down32 = nn.Sequential(_convolution(c16, c32, 2), _Residual(c32))
        self.up16 = _convolution(c32, c16, kernel=1)
        self.up8 = _convolution(c16, c8, kernel=1)
        self.mix8 = _convolution(c8, c8)
        self.up4 = _convolution(c8, width, kernel=1)
        self.mix4 = _convolution(width, width)
        self.map = nn.Conv2d(width, width, 1)
        self.text = SentenceEmbedding(2 * width)
        self.queries = nn.Linear(2 * width, POINTS * width)
        self.doubt = nn.Sequential(nn.Linear(4 * width + 2, 2 * width), nn.GELU(), nn.Linear(2 * width, 1))
        self.appearance = nn.Linear(c32, width)

    def forward(self, pictures: Tensor, sentences: list[str]) -> KeyPoints:
        """Asks every picture every sentence.

        Args:
            pictures: (n, 3, height, width) float, -1..1; height and width divide by 4.
            sentences: s of them.
        """
        features, appearance = self.trunk(pictures)
        # Half precision is enough to see with, not to measure with: at cell 70 its step is half a cell.
        with torch.autocast(pictures.device.type, enabled=False):
            return self._answers(features.float(), appearance.float(), self.text(sentences))

    def _answers(self, features: Tensor, appearance: Tensor, text: Tensor) -> KeyPoints:
        queries = F.normalize(self.queries(text).view(len(text), POINTS, -1), dim=-1) * QUERY_SCALE
        heat = torch.einsum("nchw,spc->nsphw", features, queries)
        uv, spread, peak, local = _read(heat, features)
        asked = text[None, :, None].expand(*uv.shape[:3], -1)
        evidence = torch.cat([local, queries.expand_as(local), asked, torch.log1p(spread)[..., None], peak], -1)
        return KeyPoints(heat, uv, spread, self.doubt(evidence)[..., 0], local, appearance)

    def trunk(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(n, width, h, w) map at a quarter of the resolution and (n, width)."""
        at4 = self.fine(self.stem(pictures))
        at8 = self.down8(at4)
        at16 = self.down16(at8)
        at32 = self.down32(at16)
        up = F.relu(at16 + _grown(self.up16(at32), at16))
        up = self.mix8(at8 + _grown(self.up8(up), at8))
        up = self.mix4(at4 + _grown(self.up4(up), at4))
        return self.map(up), self.appearance(at32.mean((2, 3)))


def _grown(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _read(heat: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """uv, spread, share of the peak's window (..., 1), and the map at the peak, of heat maps (n, s, p, h, w)."""
    height, width = heat.shape[-2:]
    share = heat.flatten(3).softmax(-1)
    x = torch.arange(width, device=heat.device, dtype=heat.dtype).repeat(height)
    y = torch.arange(height, device=heat.device, dtype=heat.dtype).repeat_interleave(width)
    best = share.argmax(-1, keepdim=True)
    near = ((x - x[best]).abs() <= WINDOW) & ((y - y[best]).abs() <= WINDOW)
    window = share * near
    total = window.sum(-1, keepdim=True)
    window = window / total
    uv = torch.stack([window @ x, window @ y], -1)
    grid = torch.stack([x, y, x * x + y * y], -1)
    moments = share @ grid
    spread = (moments[..., 2] - moments[..., 0] ** 2 - moments[..., 1] ** 2).clamp(min=1e-6).sqrt()
    local = torch.einsum("nspk,nck->nspc", window, features.flatten(2))
    return uv, spread, total, local
