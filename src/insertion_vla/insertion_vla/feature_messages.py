"""Features of a backbone from and to VLFeatures messages. An empty token array withdraws the features."""

import array

import numpy as np
from insertion_vla_policy.feature_message import features_from_message
from insertion_vla_policy.protocol import Features

from insertion_vla.messages import time_from_ns
from insertion_vla_interfaces.msg import VLFeatures

__all__ = ["features_from_message", "features_to_message", "withdrawal"]


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
