"""The contract: every observation and action of a graph named once, for training and serving alike.

A policy is trained against one contract and refuses to run against another; `differences` says what differs.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from insertion_vla_core.strict_yaml import StrictModel, load_strict, parse_strict

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TOPIC = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_TYPE = re.compile(r"[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*")


class _Source(StrictModel):
    """A named topic."""

    name: str
    topic: str
    type: str

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return _matching(_NAME, value, "a name of lower-case letters, digits and underscores")

    @field_validator("topic")
    @classmethod
    def _relative_topic(cls, value: str) -> str:
        return _matching(_TOPIC, value, "a relative topic such as 'force/samples', without a leading '/'")

    @field_validator("type")
    @classmethod
    def _message_type(cls, value: str) -> str:
        return _matching(_TYPE, value, "a message type such as 'sensor_msgs/msg/JointState'")


def _matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"expected {what}, got '{value}'")
    return value


class Stream(_Source):
    """One observation.

    Attributes:
        name: what policies call it.
        topic, type, field: where it comes from.
        channels: a name for each number of a row, in order; joints are picked by these names.
        shape: of one row; its product is the number of channels.
        unit: of the numbers (SI), or of the groups of channels.
        rate_hz: how often rows come, and the rate of the window's grid.
        window_s: tick t sees stamps in (t - lag - window, t - lag].
        lag_s: how much later than measured a row is looked at.
        max_age_s: older than this at the tick it is missing; inside the window a row stands in for as long.
        min_share: share of the rate_hz * window_s rows that must have come; with fewer it is missing.
        optional: missing rows are masked and nothing is refused.
        payload: rows are objects (features): irregular in time, only the newest one is seen.
    """

    field: str
    channels: tuple[str, ...] = Field(default=(), strict=False)
    shape: tuple[int, ...] = Field(default=(), strict=False)
    unit: str
    rate_hz: float = Field(gt=0.0, le=100_000.0)
    window_s: float = Field(default=0.0, ge=0.0, le=60.0)
    lag_s: float = Field(default=0.0, ge=0.0, le=10.0)
    max_age_s: float = Field(gt=0.0, le=60.0)
    min_share: float = Field(default=0.0, ge=0.0, le=1.0)
    optional: bool = False
    payload: bool = False

    @property
    def width(self) -> int:
        """Numbers per row."""
        return math.prod(self.shape)

    @model_validator(mode="after")
    def _consistent(self) -> Stream:
        if self.max_age_s <= self.lag_s:
            raise ValueError(f"expected max_age_s above lag_s = {self.lag_s:g}, got {self.max_age_s:g}")
        if self.payload:
            if self.channels or self.shape or self.window_s or self.min_share:
                raise ValueError("a payload has no channels, shape, window_s or min_share; remove them")
            return self
        if any(size < 1 for size in self.shape) or self.width != len(self.channels) or not self.channels:
            raise ValueError(
                f"expected one channel name per number of shape {list(self.shape)}, got {len(self.channels)}"
            )
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"expected different channel names, got {list(self.channels)}")
        if round(self.window_s * self.rate_hz) < 1:
            raise ValueError(f"expected window_s of at least one sample at {self.rate_hz:g} Hz, got {self.window_s:g}")
        return self


class ImageStream(_Source):
    """One camera view, as the backbone sees it; `optional`: an episode without it is whole."""

    width: int = Field(ge=16, le=8192)
    height: int = Field(ge=16, le=8192)
    rate_hz: float = Field(gt=0.0, le=1000.0)
    max_age_s: float = Field(gt=0.0, le=60.0)
    optional: bool = False


class ActionSpec(StrictModel):
    """The action chunk: rows of `channels`, `dt_s` apart, in axes of `frame`.

    `optional`: an episode without any is whole; old recordings did not keep what was commanded.
    """

    topic: str
    type: str
    frame: str
    horizon: int = Field(ge=1, le=1000)
    dt_s: float = Field(gt=0.0, le=10.0)
    channels: tuple[str, ...] = Field(strict=False, min_length=1)
    units: tuple[str, ...] = Field(strict=False, min_length=1)
    optional: bool = False

    @model_validator(mode="after")
    def _one_unit_each(self) -> ActionSpec:
        if len(self.units) != len(self.channels):
            raise ValueError(f"expected one unit per channel ({len(self.channels)}), got {len(self.units)}")
        return self


class Contract(StrictModel):
    """All observations and the action of a graph."""

    version: Literal[1]
    name: str
    observations: tuple[Stream, ...] = Field(strict=False, min_length=1)
    images: tuple[ImageStream, ...] = Field(default=(), strict=False)
    action: ActionSpec

    @model_validator(mode="after")
    def _different_names(self) -> Contract:
        names = [source.name for source in (*self.observations, *self.images)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"expected different names for observations and images, got twice: {', '.join(repeated)}")
        return self

    def stream(self, name: str) -> Stream:
        """The observation called `name`.

        Raises:
            KeyError: there is none.
        """
        for stream in self.observations:
            if stream.name == name:
                return stream
        known = ", ".join(stream.name for stream in self.observations)
        raise KeyError(f"expected an observation of the contract ({known}), got '{name}'")


def load_contract(path: str | Path) -> Contract:
    """Read a contract from YAML.

    Raises:
        ValueError: it cannot be read or has wrong entries; the message names all of them.
    """
    return load_strict(path, Contract, "a contract")


@lru_cache(maxsize=16)  # every episode of a data set carries the same text, and parsing takes 20 ms
def parse_contract(text: str, place: str) -> Contract:
    """Read a contract from the text of its YAML, as recordings carry it; `place` names where it stands.

    Raises:
        ValueError: it has wrong entries; the message names all of them.
    """
    return parse_strict(text, Contract, "a contract", place)


def contract_hash(contract: Contract) -> str:
    """SHA-256 (hex) of the contract's content; comments and the order of keys do not matter."""
    text = json.dumps(contract.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(a: Contract, b: Contract) -> list[str]:
    """What differs between two contracts, one sentence each; empty when they are equal."""
    left, right = _flat(a.model_dump(mode="json")), _flat(b.model_dump(mode="json"))
    result = []
    for key in [*left, *(key for key in right if key not in left)]:
        if key not in right:
            result.append(f"{key}: {left[key]} against nothing")
        elif key not in left:
            result.append(f"{key}: nothing against {right[key]}")
        elif left[key] != right[key]:
            result.append(f"{key}: {left[key]} against {right[key]}")
    return result


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by dotted path; entries of lists go by their name where they have one."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = {item["name"]: item for item in value}.items()
        order = [item["name"] for item in value]
        return {f"{path} order": order, **_join(items, path)}
    else:
        return {path: value}
    return _join(items, path)


def _join(items: Any, path: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in items:
        result.update(_flat(value, f"{path}.{key}" if path else str(key)))
    return result
