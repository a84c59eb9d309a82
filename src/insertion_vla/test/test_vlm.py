"""Features come for the goal's instruction from live views only; a dead view or a broken backbone takes them back."""

import threading
import time
from collections.abc import Iterator

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from insertion_vla.feature_messages import features_from_message
from insertion_vla.messages import ns_from_time, time_from_ns
from insertion_vla.nodes import vlm
from insertion_vla_policy.protocol import Features
from sensor_msgs.msg import CompressedImage

from insertion_vla import qos
from insertion_vla_interfaces.msg import TaskState, VLFeatures

DOMAIN = 56
VIEWS = ["front", "side"]
SENTENCE = "insert the needle into the green trocar"


class Backbone:
    """Answers with the mean colour of every view; the test makes it slow or break."""

    model_id, model_hash = "mean_colour", "0"

    def __init__(self) -> None:
        self.calls_s: list[float] = []
        self.error: Exception | None = None
        self.entered, self.release = threading.Event(), threading.Event()
        self.release.set()

    def encode(self, images, instruction):
        self.calls_s.append(time.monotonic())
        self.entered.set()
        assert self.release.wait(10.0)
        if self.error is not None:
            raise self.error
        tokens = np.array([image.rgb.mean(axis=(0, 1)) for image in images], dtype=np.float32)
        names, stamps = tuple(i.view for i in images), tuple(i.stamp_ns for i in images)
        return Features(tokens, instruction, names, stamps, self.model_id, self.model_hash, 0.001)


class Lab:
    """Cameras and task of the test, and the vlm node."""

    def __init__(self, graph: Graph, backbone: Backbone) -> None:
        self.graph, self.backbone = graph, backbone
        self.live, self.frozen = set(VIEWS), set()
        self.random = np.random.default_rng(0)
        self.still = self._jpeg()
        self.features = Inbox(graph, VLFeatures, "vlm/features", qos.FEATURES)
        self.diagnostics = Inbox(graph, DiagnosticArray, "/diagnostics", qos.reliable(100))
        node = graph.node
        self._cameras = {
            v: node.create_publisher(CompressedImage, f"{v}/image_raw/compressed", qos.IMAGE) for v in VIEWS
        }
        self._task = node.create_publisher(TaskState, "task/state", qos.STATE)
        self.instruction = ""
        node.create_timer(0.02, self._pump)
        self.node = graph.add(
            vlm.Vlm,
            policy="visual_servo",
            views=VIEWS,
            camera_rate_hz=10.0,
            rate_hz=20.0,
            calibration_file=__file__,
            **{"diagnostic_updater.period": 0.1},
        )
        graph.call(self.node.trigger_configure)
        graph.call(self.node.trigger_activate)
        assert self.node.phase == "active"

    def _jpeg(self) -> bytes:
        image = self.random.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        image[:] = (10, 20, 200) if not hasattr(self, "still") else image
        return cv2.imencode(".jpg", image)[1].tobytes()

    def _pump(self) -> None:
        for view in self.live:
            message = CompressedImage(format="jpeg", data=self.still if view in self.frozen else self._jpeg())
            message.header.stamp = time_from_ns(self.graph.node.get_clock().now().nanoseconds)
            self._cameras[view].publish(message)
        self._task.publish(TaskState(instruction=self.instruction))

    def good(self, start: int = 0) -> VLFeatures:
        return self.features.wait(lambda m: m.view_names, start=start)

    def withdrawn(self, start: int) -> VLFeatures:
        return self.features.wait(lambda m: list(m.shape) == [0, 0], start=start)

    def error(self, word: str) -> str:
        def named(message: DiagnosticArray) -> bool:
            return any(s.level == b"\x02" and "vlm" in s.name and word in s.message for s in message.status)

        return self.diagnostics.wait(named, start=len(self.diagnostics.messages))


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    backbone = Backbone()
    monkeypatch.setattr(vlm, "load_backbone", lambda name, calibration: backbone)
    with open_graph(DOMAIN) as graph:
        yield Lab(graph, backbone)
        backbone.release.set()


def test_features_carry_instruction_views_and_the_oldest_stamp(lab):
    lab.instruction = SENTENCE
    message = lab.good()
    assert list(message.view_names) == VIEWS and message.instruction == SENTENCE
    assert ns_from_time(message.header.stamp) == min(ns_from_time(stamp) for stamp in message.view_stamps)
    features = features_from_message(message)
    assert features.tokens.shape == (2, 3) and features.model_id == "mean_colour"


def test_colours_arrive_as_rgb(lab):
    lab.frozen.update(VIEWS)  # the still picture is red; a few of its frames get through before it counts as frozen
    lab.instruction = SENTENCE
    red = lab.features.wait(lambda m: m.view_names and features_from_message(m).tokens[0, 0] > 180)
    assert features_from_message(red).tokens[0, 2] < 60


def test_without_a_goal_nothing_is_computed(lab):
    lab.instruction = SENTENCE
    lab.good()
    seen = len(lab.features.messages)
    lab.instruction = ""
    lab.withdrawn(seen)
    done = len(lab.backbone.calls_s)
    beats = len(lab.diagnostics.messages)
    lab.diagnostics.wait_count(beats + 5)
    assert len(lab.backbone.calls_s) <= done + 1


def test_the_rate_is_capped(lab):
    lab.instruction = SENTENCE
    lab.features.wait_count(12)
    calls = np.array(lab.backbone.calls_s)
    assert (calls[-1] - calls[0]) / (len(calls) - 1) > 0.045, "20 Hz is the limit"


def test_a_silent_view_withdraws_the_features_and_is_named_until_it_is_back(lab):
    lab.instruction = SENTENCE
    lab.good()
    seen = len(lab.features.messages)
    lab.live.discard("side")
    lab.withdrawn(seen)
    lab.error("view 'side'")
    seen = len(lab.features.messages)
    lab.live.add("side")
    lab.good(seen)


def test_a_frozen_view_withdraws_the_features_and_is_named(lab):
    lab.instruction = SENTENCE
    lab.good()
    seen = len(lab.features.messages)
    lab.frozen.add("front")
    lab.withdrawn(seen)
    lab.error("view 'front' is frozen")


def test_features_of_a_view_that_died_while_encoding_are_not_published(lab):
    lab.backbone.release.clear()
    lab.instruction = SENTENCE
    assert lab.backbone.entered.wait(10.0)
    lab.live.discard("side")
    lab.error("view 'side'")
    lab.backbone.release.set()
    lab.error("view 'side'")
    assert lab.features.messages == []


def test_an_exception_of_the_backbone_deactivates_the_node_with_the_cause(lab):
    lab.instruction = SENTENCE
    lab.good()
    seen = len(lab.features.messages)
    lab.backbone.error = RuntimeError("CUDA out of memory")
    lab.withdrawn(seen)
    lab.error("CUDA out of memory")
    assert lab.node.phase == "inactive"
    lab.backbone.error = None
    seen = len(lab.features.messages)
    lab.graph.call(lab.node.trigger_activate)
    lab.good(seen)


def test_input_that_the_backbone_cannot_use_is_told_and_the_node_stays_active(lab):
    lab.backbone.error = ValueError("expected a colour, got 'purple'")
    lab.instruction = "purple"
    lab.error("got 'purple'")
    assert lab.node.phase == "active"
    lab.backbone.error = None
    lab.instruction = SENTENCE
    lab.good()
