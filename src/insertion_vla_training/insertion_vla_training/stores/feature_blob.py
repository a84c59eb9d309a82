"""Features as a blob of a store: the length of a JSON head (u32), the head, and the tokens as float32."""

from __future__ import annotations

import json
import struct

import numpy as np
from insertion_vla_policy.protocol import Features

_LENGTH = struct.Struct("<I")


def encode_features(features: Features | None) -> bytes:
    """Features as bytes; None is a withdrawal (from here on there are no features)."""
    if features is None:
        return _LENGTH.pack(0)
    tokens = np.ascontiguousarray(features.tokens, dtype="<f4")
    head = {
        "shape": list(tokens.shape),
        "instruction": features.instruction,
        "view_names": list(features.view_names),
        "view_stamps_ns": list(features.view_stamps_ns),
        "model_id": features.model_id,
        "model_hash": features.model_hash,
        "inference_s": features.inference_s,
    }
    text = json.dumps(head).encode()
    return _LENGTH.pack(len(text)) + text + tokens.tobytes()


def decode_features(blob: bytes) -> Features | None:
    """What `encode_features` was given."""
    (length,) = _LENGTH.unpack_from(blob)
    if length == 0:
        return None
    head = json.loads(blob[_LENGTH.size : _LENGTH.size + length])
    tokens = np.frombuffer(blob, "<f4", offset=_LENGTH.size + length).reshape(head["shape"])
    return Features(
        tokens=tokens,
        instruction=head["instruction"],
        view_names=tuple(head["view_names"]),
        view_stamps_ns=tuple(head["view_stamps_ns"]),
        model_id=head["model_id"],
        model_hash=head["model_hash"],
        inference_s=head["inference_s"],
    )
