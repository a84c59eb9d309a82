"""Features of a backbone from and to VLFeatures messages. An empty token array withdraws the features."""

import array

import numpy as np
from insertion_vla_policy.protocol import Features

from insertion_vla.messages import ns_from_time, time_from_ns
from insertion_vla_interfaces.msg import VLFeatures


def features_to_message(features: Features) -> VLFeatures:
    """Features as a message; the header carries the stamp of the oldest image."""
    tokens = np.ascontiguousarray(features.tokens, dtype=np.float32)
    message = VLFeatures(
        view_names=list(features.view_names),
        view_stamps=[time_from_ns(stamp) for stamp in features.view_stamps_ns],
        instruction=features.instruction,
        model_id=features.model_id,
        model_hash=features.model_hash,
        shape=array.array("I", tokens.shape),
        dtype="float32",
        inference_time=float(features.inference_s),
    )
    message.header.stamp = time_from_ns(features.stamp_ns)
    message.data = array.array("B", tokens.tobytes())
    return message


def withdrawal(stamp_ns: int, instruction: str) -> VLFeatures:
    """The message that takes the latched features back, so that nobody goes on acting on them."""
    message = VLFeatures(instruction=instruction, dtype="float32", shape=array.array("I", [0, 0]))
    message.header.stamp = time_from_ns(stamp_ns)
    return message


def features_from_message(message: VLFeatures) -> Features | None:
    """Features of a message, None for a withdrawal.

    Raises:
        ValueError: shape, type and data do not belong together, or a token is not finite.
    """
    shape = tuple(message.shape)
    if len(shape) == 2 and 0 in shape:
        return None
    if message.dtype not in ("float32", "float16"):
        raise ValueError(f"expected features of float32 or float16, got '{message.dtype}'")
    dtype = np.dtype(message.dtype).newbyteorder("<")
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(shape) != 2 or size != len(message.data):
        raise ValueError(
            f"expected features [n, d] in {size} bytes, got shape {list(shape)} and {len(message.data)} bytes"
        )
    if not message.view_names or len(message.view_names) != len(message.view_stamps):
        raise ValueError(
            f"expected a stamp per view, got {len(message.view_names)} views, {len(message.view_stamps)} stamps"
        )
    tokens = np.frombuffer(message.data, dtype=dtype).astype(np.float32).reshape(shape)
    if not np.isfinite(tokens).all():
        raise ValueError("expected finite features, got NaN or infinity: the backbone is broken")
    return Features(
        tokens=tokens,
        instruction=message.instruction,
        view_names=tuple(message.view_names),
        view_stamps_ns=tuple(ns_from_time(stamp) for stamp in message.view_stamps),
        model_id=message.model_id,
        model_hash=message.model_hash,
        inference_s=float(message.inference_time),
    )
