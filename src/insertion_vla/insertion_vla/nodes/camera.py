"""One camera view.

Publishes:
    <view>/image_raw/compressed (sensor_msgs/CompressedImage): every new picture, stamped with its acquisition time;
        JPEG bytes of the device are passed on unchanged.
    <view>/image_raw (sensor_msgs/Image, bgr8): only with ``raw`` and while someone listens.
    <view>/camera_info (sensor_msgs/CameraInfo): only with ``calibration_file``; same stamps as the pictures.
Parameters: class Parameters below.
On failure: a picture with the same content as the one before is counted and not published, because with a new stamp it
would look fresh. No new picture for three periods, whether the camera is silent or frozen, is an ERROR on /diagnostics
that names the view. A lost device is opened again once a second.
"""

import array
import threading
import time
import traceback
import zlib
from pathlib import Path
from typing import Any, Literal

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from insertion_vla_core.calibration import load_calibration
from pydantic import Field
from sensor_msgs.msg import CameraInfo, CompressedImage

from insertion_vla import qos
from insertion_vla.cameras.frame import Frame, Source, jpeg_size
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.messages import set_time
from insertion_vla.parameters import ParameterModel
from insertion_vla.paths import config_file

READ_TIMEOUT_S = 0.1
REOPEN_S = 1.0
SILENT_PERIODS = 3


class Parameters(ParameterModel):
    view: str = Field("front", min_length=1, description="name of the view and prefix of its topics")
    driver: Literal["zmq", "opencv", "folder"] = Field("zmq", description="how the pictures arrive")
    device: str = Field(
        "tcp://127.0.0.1:5561",
        description="zmq: address to bind (tcp://host:port); opencv: V4L2 index or /dev/..., rtsp:// URL or video "
        "file; folder: path",
    )
    camera: str = Field("", description="zmq: name of the camera in the messages; empty: the view's name")
    rate_hz: float = Field(
        5.0, ge=0.2, le=120.0, description="[Hz] expected rate; paces files and folders, asked of V4L2 cameras"
    )
    width: int = Field(0, ge=0, le=8192, description="[pixels] asked of V4L2 cameras; 0: the camera's own")
    height: int = Field(0, ge=0, le=8192, description="[pixels] asked of V4L2 cameras; 0: the camera's own")
    loop: bool = Field(False, description="begin again after the last picture of a file or folder")
    latency_s: float = Field(
        0.0, ge=0.0, le=2.0, description="[s] known delay from exposure to arrival, subtracted from the stamps"
    )
    jpeg_quality: int = Field(90, ge=10, le=100, description="[%] of pictures that the device does not compress itself")
    raw: bool = Field(False, description="also publish decoded pictures while someone listens")
    frame_id: str = Field("", description="optical frame in the headers; empty: <view>_optical")
    calibration_file: str = Field(
        "", description="camera calibration (config/calibration/*.yaml); empty: no camera_info"
    )


class CameraNode(ManagedNode):
    NAME = "camera"
    Parameters = Parameters
    source: Source | None = None

    def setup(self) -> None:
        p = self.params
        self.frame_id = p.frame_id or f"{p.view}_optical"
        self.source = make_source(p)
        self.info = self._camera_info()
        self._image = self.create_publisher(CompressedImage, f"{p.view}/image_raw/compressed", qos.IMAGE)
        self._infos = self.create_publisher(CameraInfo, f"{p.view}/camera_info", qos.IMAGE) if self.info else None
        self._raws = self._raw_publisher() if p.raw else None
        self._message = CompressedImage(format="jpeg")
        self._message.header.frame_id = self.frame_id
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.source.open()

    def _raw_publisher(self) -> Any:
        from cv_bridge import CvBridge  # only here: a camera that passes JPEG through needs no OpenCV
        from sensor_msgs.msg import Image

        self._bridge = CvBridge()
        return self.create_publisher(Image, f"{self.params.view}/image_raw", qos.IMAGE)

    def _camera_info(self) -> CameraInfo | None:
        p = self.params
        if not p.calibration_file:
            return None
        calibration = load_calibration(config_file(p.calibration_file))
        if p.view not in calibration.cameras:
            raise ValueError(
                f"expected view '{p.view}' in {p.calibration_file}, found {', '.join(calibration.cameras)}; "
                "correct the parameter 'view' or calibrate the view"
            )
        return camera_info(calibration.cameras[p.view].view, self.frame_id)

    def start(self) -> None:
        self.published = self.repeated = self.reopened = 0
        self.trouble = ""  # why the device gives nothing
        self.mismatch = ""
        self._content: int | None = None
        self._started_s = self._new_s = self._any_s = time.monotonic()
        self._counted, self._counted_s = 0, time.monotonic()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def teardown(self) -> None:
        if self.source is not None:
            self.source.close()

    # The capture thread.

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                frame = self.source.read(READ_TIMEOUT_S)
                if frame is not None:
                    self._take(frame)
            except OSError as error:
                self._reopen(str(error))
            except Exception as error:  # a bug must be seen, and must not end the view in silence
                self.get_logger().error(f"view '{self.params.view}': {error}\n{traceback.format_exc()}")
                self._reopen(f"{type(error).__name__}: {error}")

    def _reopen(self, why: str) -> None:
        self.trouble = why
        self._stop.wait(REOPEN_S)
        while not self._stop.is_set():
            try:
                self.source.open()
            except OSError as error:
                self.trouble = str(error)
                self._stop.wait(REOPEN_S)
            else:
                self.reopened += 1
                return

    def _take(self, frame: Frame) -> None:
        """Publish a picture unless it is the same as the one before."""
        self.trouble = ""
        self._any_s = time.monotonic()
        content = zlib.crc32(frame.jpeg if frame.jpeg is not None else memoryview(frame.pixels).cast("B"))
        if content == self._content:
            self.repeated += 1
            return
        self._content = content
        jpeg = frame.jpeg if frame.jpeg is not None else self._encode(frame.pixels)
        stamp_ns = frame.stamp_ns - int(self.params.latency_s * 1e9)
        message = self._message
        set_time(message.header.stamp, stamp_ns)
        message.data = array.array("B", jpeg)
        self._image.publish(message)
        self._publish_info(frame, stamp_ns)
        if self._raws is not None and self._raws.get_subscription_count():
            self._publish_raw(frame, stamp_ns)
        self.published += 1
        self._new_s = self._any_s

    def _encode(self, pixels: Any) -> bytes:
        import cv2

        ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self.params.jpeg_quality])
        if not ok:
            raise ValueError(f"cannot encode a picture of shape {pixels.shape} as JPEG")
        return data.tobytes()

    def _publish_info(self, frame: Frame, stamp_ns: int) -> None:
        if self.info is None or self._infos is None:
            return
        size = jpeg_size(frame.jpeg) if frame.jpeg is not None else frame.pixels.shape[1::-1]
        expected = (self.info.width, self.info.height)
        if size != expected:  # intrinsics of another resolution would be wrong in silence
            self.mismatch = f"pictures are {size}, but the calibration is for {expected}; no camera_info is published"
            return
        self.mismatch = ""
        set_time(self.info.header.stamp, stamp_ns)
        self._infos.publish(self.info)

    def _publish_raw(self, frame: Frame, stamp_ns: int) -> None:
        pixels = frame.pixels
        if pixels is None:
            pixels = self._bridge.compressed_imgmsg_to_cv2(self._message, "bgr8")
        message = self._bridge.cv2_to_imgmsg(pixels, "bgr8")
        message.header.frame_id = self.frame_id
        set_time(message.header.stamp, stamp_ns)
        self._raws.publish(message)

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        p, now_s = self.params, time.monotonic()
        new_age_s, any_age_s = now_s - self._new_s, now_s - self._any_s
        rate_hz = (self.published - self._counted) / max(1e-3, now_s - self._counted_s)
        self._counted, self._counted_s = self.published, now_s
        limit_s = SILENT_PERIODS / p.rate_hz
        if self.trouble:
            stat.summary(DiagnosticStatus.ERROR, f"view '{p.view}': {self.trouble}; trying again")
        elif any_age_s > limit_s:
            stat.summary(DiagnosticStatus.ERROR, f"view '{p.view}' is silent: no picture for {any_age_s:.1f} s")
        elif new_age_s > limit_s:
            stat.summary(DiagnosticStatus.ERROR, f"view '{p.view}' is frozen: the same picture for {new_age_s:.1f} s")
        elif self.mismatch:
            stat.summary(DiagnosticStatus.ERROR, f"view '{p.view}': {self.mismatch}")
        elif rate_hz < 0.8 * p.rate_hz and now_s - self._started_s > 2.0 + limit_s:
            stat.summary(DiagnosticStatus.WARN, f"view '{p.view}' runs at {rate_hz:.1f} Hz, expected {p.rate_hz:g} Hz")
        stat.add("rate [Hz]", f"{rate_hz:.2f}")
        stat.add("age of newest picture [s]", f"{new_age_s:.2f}")
        stat.add("published", str(self.published))
        stat.add("repeated (not published)", str(self.repeated))
        stat.add("device opened again", str(self.reopened))
        for name, count in self.source.counters().items():
            stat.add(name, str(count))


def make_source(p: Parameters) -> Source:
    """The source that the parameters ask for; drivers are imported only when used."""
    if p.driver == "zmq":
        from insertion_vla.cameras.zmq import ZmqSource

        return ZmqSource(p.device, p.camera or p.view)
    if p.driver == "folder":
        from insertion_vla.cameras.folder import FolderSource

        return FolderSource(p.device, p.rate_hz, p.loop)
    from insertion_vla.cameras.opencv import OpenCvSource

    device = p.device if "://" in p.device else str(Path(p.device).expanduser()) if p.device else ""
    return OpenCvSource(device, p.rate_hz, p.width, p.height, p.loop)


def camera_info(view: Any, frame_id: str) -> CameraInfo:
    """A calibrated pinhole view (core's ``View``) as CameraInfo, without distortion."""
    info = CameraInfo(width=view.width, height=view.height, distortion_model="plumb_bob")
    info.header.frame_id = frame_id
    info.d = array.array("d", [0.0] * 5)
    info.k = [view.fx, 0.0, view.cx, 0.0, view.fy, view.cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [view.fx, 0.0, view.cx, 0.0, 0.0, view.fy, view.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def main() -> int:
    """Entry point of the executable ``camera``."""
    return run(CameraNode)


if __name__ == "__main__":
    raise SystemExit(main())
