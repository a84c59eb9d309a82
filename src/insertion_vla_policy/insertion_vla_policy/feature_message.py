"""Features of a VLFeatures message: the same code for the live nodes and for a converter of recordings.

Messages are looked at by their fields alone, so those of rclpy and those that a bag reader decodes both work.
"""

from typing import Any

import numpy as np

from insertion_vla_policy.protocol import Features


def features_from_message(message: Any) -> Features | None:
    """Features of a message, None for a withdrawal.

    Raises:
        ValueError: shape, type and data do not belong together, or a token is not finite.
    """
    shape = tuple(int(size) for size in message.shape)
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
        view_stamps_ns=tuple(int(time.sec) * 1_000_000_000 + int(time.nanosec) for time in message.view_stamps),
        model_id=message.model_id,
        model_hash=message.model_hash,
        inference_s=float(message.inference_time),
    )
