"""The vision-language backbone: newest image of every view + the goal's instruction -> vlm/features.

subscribes: <view>/image_raw/compressed of every view, task/state (the instruction)
publishes:  vlm/features (latched), at most rate_hz, while a goal names an instruction
parameters: see Parameters
on failure: a view without a new frame for three periods, or one that repeats the same picture, withdraws the features
            at once (an empty set) and no new ones follow until it is back; diagnostics name the view. Input that the
            backbone cannot use withdraws them too. Any other exception of the backbone deactivates this node with the
            cause.
"""

import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from insertion_vla_policy.protocol import Backbone, Image
from insertion_vla_policy.registry import backbone_views, limit_threads, load_backbone
from pydantic import Field
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CompressedImage

from insertion_vla import qos
from insertion_vla.deadlines import ticks
from insertion_vla.feature_messages import features_to_message, withdrawal
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.messages import ns_from_time
from insertion_vla.parameters import ParameterModel
from insertion_vla.paths import config_file
from insertion_vla.view_freshness import ViewFreshness
from insertion_vla_interfaces.msg import TaskState, VLFeatures

CHECK_PERIOD_S = 0.05


class Parameters(ParameterModel):
    """Parameters of the vlm node."""

    policy: str = Field(default="diffusion", description="policy whose backbone runs here: a name or a folder")
    calibration_file: str = Field(default="calibration/sim.yaml", description="camera calibration, see config_file")
    views: list[str] = Field(
        default=["front", "side", "hand"], min_length=1, description="camera views, in token order"
    )
    camera_rate_hz: float = Field(default=5.0, gt=0, le=240, description="[Hz] rate at which every view sends frames")
    rate_hz: float = Field(default=2.6, gt=0, le=60, description="[Hz] upper bound of the rate of features")
    threads: int = Field(default=1, ge=0, le=256, description="threads of torch in this process; 0: its own choice")


class Vlm(ManagedNode):
    """Receives in the executor, encodes in a thread with its own deadlines."""

    NAME = "vlm"
    Parameters = Parameters

    def setup(self) -> None:
        """Loads the backbone."""
        trained_with = backbone_views(self.params.policy)
        if trained_with and trained_with != tuple(self.params.views):
            raise ValueError(
                f"parameter 'views': expected {list(trained_with)}, with which the policy {self.params.policy} was "
                f"trained, got {self.params.views}: start these cameras, or train again"
            )
        self._backbone: Backbone = load_backbone(self.params.policy, config_file(self.params.calibration_file))
        self._publisher = self.create_publisher(VLFeatures, "vlm/features", qos.FEATURES)
        cv2.setNumThreads(1)
        limit_threads(self.params.threads)

    def start(self) -> None:
        """Subscribes to the views and starts the encoder."""
        now_s = time.monotonic()
        self._lock = threading.Lock()
        self._views = {view: ViewFreshness(view, self.params.camera_rate_hz, now_s) for view in self.params.views}
        self._instruction = ""
        self._offered = False  # features are out that have not been withdrawn
        self._unusable = ""  # why the backbone could not use the newest input
        self._crash = ""
        self._missed = 0
        self._features_ns = 0
        self._inference_s = 0.0
        for view in self.params.views:
            self.create_subscription(
                CompressedImage, f"{view}/image_raw/compressed", lambda m, v=view: self._on_image(v, m), qos.IMAGE
            )
        self.create_subscription(TaskState, "task/state", self._on_task, qos.STATE)
        self.create_timer(CHECK_PERIOD_S, self._check_views, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._crashed = self.create_guard_condition(self._on_crash)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._encode_loop, name="encoder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the encoder and withdraws its features."""
        stop = getattr(self, "_stop", None)
        if stop is None or stop.is_set():
            return
        stop.set()
        self._thread.join()
        self.destroy_guard_condition(self._crashed)
        self._withdraw()

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        """Reports every dead view by name."""
        now_s = time.monotonic()
        problems = self._problems(now_s) + ([self._unusable] if self._unusable else [])
        if problems:
            stat.summary(DiagnosticStatus.ERROR, "; ".join(problems))
        elif not self._instruction:
            stat.summary(DiagnosticStatus.OK, "waiting for a goal")
        else:
            stat.summary(DiagnosticStatus.OK, f"encoding for '{self._instruction}'")
        for view in self._views.values():
            stat.add(f"{view.view}: frame age [s]", f"{view.age_s(now_s):.3f}")
        if self._features_ns:
            stat.add("features age [s]", f"{(self.get_clock().now().nanoseconds - self._features_ns) * 1e-9:.3f}")
        stat.add("inference time [s]", f"{self._inference_s:.3f}")
        stat.add("missed deadlines", str(self._missed))

    # Executor thread.

    def _on_image(self, view: str, message: CompressedImage) -> None:
        with self._lock:
            self._views[view].push(ns_from_time(message.header.stamp), bytes(message.data), time.monotonic())

    def _on_task(self, message: TaskState) -> None:
        if message.instruction != self._instruction:
            with self._lock:
                self._instruction = message.instruction
                self._unusable = ""
                self._withdraw()

    def _check_views(self) -> None:
        with self._lock:
            if self._offered and self._problems(time.monotonic()):
                self._withdraw()

    def _on_crash(self) -> None:
        self.trigger_deactivate()
        self._refuse(f"backbone '{self._backbone.model_id}' raised {self._crash}")

    def _problems(self, now_s: float) -> list[str]:
        return [problem for view in self._views.values() if (problem := view.problem(now_s))]

    def _withdraw(self) -> None:
        if self._offered:
            self._offered = False
            self._publisher.publish(withdrawal(self.get_clock().now().nanoseconds, self._instruction))

    # Encoder thread.

    def _encode_loop(self) -> None:
        for deadlines in ticks(1.0 / self.params.rate_hz, self._stop):
            self._missed = deadlines.missed
            with self._lock:
                instruction = self._instruction
                if not instruction or self._problems(time.monotonic()):
                    continue
                frames = [(view.view, view.frame) for view in self._views.values() if view.frame is not None]
            try:
                images = [Image(view, frame.stamp_ns, _decode(view, frame.data)) for view, frame in frames]
                message = features_to_message(self._backbone.encode(images, instruction))
            except ValueError as error:
                with self._lock:
                    self._unusable = str(error)
                    self._withdraw()
                continue
            except Exception as error:
                self._crash = f"{type(error).__name__}: {error}"
                self._crashed.trigger()
                return
            with self._lock:
                # Encoding takes a while: a view may have died or the goal may have changed meanwhile.
                if self._instruction == instruction and not self._problems(time.monotonic()):
                    self._offered, self._unusable = True, ""
                    self._features_ns = ns_from_time(message.header.stamp)
                    self._inference_s = message.inference_time
                    self._publisher.publish(message)


def _decode(view: str, data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"view '{view}': expected a JPEG or PNG image, got {len(data)} bytes that are none")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def main() -> int:
    """Runs the node."""
    return run(Vlm)


if __name__ == "__main__":
    sys.exit(main())
