"""The camera node with every kind of source: new pictures go out with their stamps, dead and frozen views are named."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
import cv2
import numpy as np
import yaml
import zmq
from diagnostic_msgs.msg import DiagnosticArray
from insertion_vla.cameras.frame import jpeg_size
from insertion_vla.messages import ns_from_time
from insertion_vla.nodes.camera import CameraNode
from insertion_vla_core.wire.camera_zmq import encode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from insertion_vla import qos

DOMAIN, ADDRESS = 52, "tcp://127.0.41.20:5561"
WIDTH, HEIGHT = 64, 48


def picture(number: int) -> np.ndarray:
    """A picture (HEIGHT, WIDTH, 3) with a grey level of its own."""
    return np.full((HEIGHT, WIDTH, 3), 10 * number % 250, np.uint8)


def jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", picture(number))[1].tobytes()


class Lab:
    def __init__(self, graph: Graph, **parameters) -> None:
        self.graph = graph
        self.images = Inbox(graph, CompressedImage, "front/image_raw/compressed", qos.reliable(50))
        self.infos = Inbox(graph, CameraInfo, "front/camera_info", qos.reliable(50))
        self.raws = Inbox(graph, Image, "front/image_raw", qos.reliable(50))
        self.diagnostics = Inbox(graph, DiagnosticArray, "/diagnostics", qos.reliable(100))
        defaults = {"driver": "zmq", "device": ADDRESS, "rate_hz": 20.0, "diagnostic_updater.period": 0.1}
        self.node = graph.add(CameraNode, **defaults | parameters)

    def activate(self) -> "Lab":
        self.graph.call(self.node.trigger_configure)
        assert self.node.phase == "inactive", self.node.problem
        self.graph.call(self.node.trigger_activate)
        return self

    def error(self, *words: str) -> None:
        def named(message: DiagnosticArray) -> bool:
            return any(s.level == b"\x02" and all(w in s.message for w in words) for s in message.status)

        self.diagnostics.wait(named, start=len(self.diagnostics.messages))


@contextmanager
def camera(**parameters) -> Iterator[Lab]:
    with open_graph(DOMAIN) as graph:
        yield Lab(graph, **parameters)


class Pusher:
    """The lab's camera machine."""

    def __init__(self, clock_offset_s: float = 0.0) -> None:
        self.clock_offset_s = clock_offset_s
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(ADDRESS)

    def send(self, data: bytes, name: str = "front") -> None:
        self._socket.send_multipart(encode(name, time.time() + self.clock_offset_s, data))

    def send_parts(self, *parts: bytes) -> None:
        self._socket.send_multipart(parts)

    def close(self) -> None:
        self._socket.close()
        self._context.term()


@pytest.fixture
def pusher() -> Iterator[Pusher]:
    pusher = Pusher()
    yield pusher
    pusher.close()


def reach(lab: Lab, pusher: Pusher) -> None:
    """Send pictures until one comes out: sockets and topics are connected."""
    for number in range(200):
        pusher.send(jpeg(number % 20))
        if lab.images.messages:
            return
        time.sleep(0.02)
    raise AssertionError(f"no picture came: {lab.node.trouble}")


def test_jpeg_bytes_pass_unchanged_with_the_acquisition_stamp(pusher):
    pusher.clock_offset_s = 1000.0  # the sender's clock is wrong; the stamp is ours all the same
    with camera() as lab:
        lab.activate()
        reach(lab, pusher)
        sent, start = jpeg(21), len(lab.images.messages)
        pusher.send(sent)
        message = lab.images.wait(lambda m: m.data.tobytes() == sent, start=start)
        assert message.format == "jpeg" and message.header.frame_id == "front_optical"
        assert abs(time.time() - ns_from_time(message.header.stamp) * 1e-9) < 1.0


def test_other_cameras_and_malformed_messages_are_counted_and_dropped(pusher):
    with camera() as lab:
        lab.activate()
        reach(lab, pusher)
        start = len(lab.images.messages)
        pusher.send(jpeg(22), name="side")
        pusher.send_parts(b"{}", jpeg(22))
        pusher.send_parts(b"not json", b"")
        pusher.send_parts(b"one part")
        pusher.send(b"no jpeg at all")
        pusher.send(jpeg(23))
        lab.images.wait(lambda m: m.data.tobytes() == jpeg(23), start=start)
        assert not [m for m in lab.images.messages if m.data.tobytes() == jpeg(22)]
        assert lab.node.source.counters() == {"malformed messages": 4, "frames of other cameras": 1}


def test_a_frozen_view_is_named_and_its_repeats_do_not_go_out(pusher):
    with camera() as lab:
        lab.activate()
        reach(lab, pusher)
        pusher.send(jpeg(24))
        lab.images.wait(lambda m: m.data.tobytes() == jpeg(24))
        count, stop = len(lab.images.messages), threading.Event()

        def repeat() -> None:
            while not stop.wait(0.03):
                pusher.send(jpeg(24))

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            lab.error("front", "frozen")
        finally:
            stop.set()
            thread.join()
        assert len(lab.images.messages) == count and lab.node.repeated > 2
        pusher.send(jpeg(25))
        lab.images.wait(lambda m: m.data.tobytes() == jpeg(25), start=count)


def test_a_silent_view_is_named(pusher):
    with camera() as lab:
        lab.activate()
        reach(lab, pusher)
        lab.error("front", "silent")


def test_camera_info_comes_from_the_calibration_of_that_size(pusher, tmp_path):
    view = {"width": WIDTH, "height": HEIGHT, "fx": 50.0, "fy": 51.0, "cx": 31.5, "cy": 23.5, "frame": "base"}
    pose = {"position": [0.0, 0.0, 0.0], "quaternion": [0.0, 0.0, 0.0, 1.0]}
    path = tmp_path / "calibration.yaml"
    path.write_text(yaml.safe_dump({"tool": pose, "views": {"front": view | pose}}))
    with camera(calibration_file=str(path)) as lab:
        lab.activate()
        reach(lab, pusher)
        info = lab.infos.wait(lambda m: True)
        assert (info.width, info.height) == (WIDTH, HEIGHT) and list(info.k[:6]) == [50.0, 0.0, 31.5, 0.0, 51.0, 23.5]
        stamps = [m.header.stamp for m in lab.images.messages]
        assert info.header.stamp in stamps and info.header.frame_id == "front_optical"
        pusher.send(cv2.imencode(".jpg", np.zeros((10, 20, 3), np.uint8))[1].tobytes())
        lab.error("front", "(20, 10)", "camera_info")
        odd = lab.images.wait(lambda m: jpeg_size(bytes(m.data)) == (20, 10))
        assert odd.header.stamp not in [m.header.stamp for m in lab.infos.messages]


def test_a_view_that_is_not_calibrated_is_refused():
    with camera(view="top", calibration_file="calibration/sim.yaml") as lab:
        lab.graph.call(lab.node.trigger_configure)
        assert lab.node.phase == "unconfigured" and "'top'" in lab.node.problem


def test_raw_pictures_on_demand(pusher):
    with camera(raw=True) as lab:
        lab.activate()
        reach(lab, pusher)
        pusher.send(jpeg(26))
        raw = lab.raws.wait(lambda m: True)
        assert (raw.width, raw.height, raw.encoding) == (WIDTH, HEIGHT, "bgr8")


def test_a_taken_port_is_named(pusher):
    with camera() as lab:
        lab.activate()
        with camera() as other:
            other.graph.call(other.node.trigger_configure)
            assert other.node.phase == "unconfigured" and ADDRESS in other.node.problem


def test_folder_plays_in_order_once(tmp_path: Path):
    files = [jpeg(n) for n in range(1, 6)]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    cv2.imwrite(str(tmp_path / "9.png"), picture(9))
    (tmp_path / "notes.txt").write_text("not a picture")
    with camera(driver="folder", device=str(tmp_path)) as lab:
        lab.activate()
        lab.images.wait(lambda m: abs(int(decoded(m).mean()) - 90) < 3)
        got = [m.data.tobytes() for m in lab.images.messages]
        assert [g for g in got if g in files] == files[len(files) - sum(g in files for g in got) :]
        lab.error("front", "silent")


def test_empty_folder_and_missing_device_are_refused(tmp_path: Path):
    cases = [("folder", str(tmp_path), "found none"), ("folder", "/nowhere", "/nowhere")]
    cases += [("opencv", "/dev/video99", "/dev/video99"), ("opencv", str(tmp_path / "film.avi"), "film.avi")]
    for driver, device, words in cases:
        with camera(driver=driver, device=device) as lab:
            lab.graph.call(lab.node.trigger_configure)
            assert lab.node.phase == "unconfigured" and words in lab.node.problem


def decoded(message: CompressedImage) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("loop", [False, True])
def test_video_file_plays_at_the_asked_rate(tmp_path: Path, loop: bool):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (WIDTH, HEIGHT))
    for number in range(1, 16):
        writer.write(picture(number))
    writer.release()
    with camera(driver="opencv", device=str(path), loop=loop, rate_hz=30.0) as lab:
        lab.activate()
        if loop:
            messages = lab.images.wait_count(20)
            stamps = [ns_from_time(m.header.stamp) for m in messages]
            assert np.median(np.diff(stamps)) == pytest.approx(1e9 / 30.0, rel=0.2)
        else:
            last = lab.images.wait(lambda m: abs(int(decoded(m).mean()) - 150) < 3)
            assert jpeg_size(last.data.tobytes()) == (WIDTH, HEIGHT)
            lab.error("front", "silent")


class MotionJpeg(http.server.BaseHTTPRequestHandler):
    """A network camera; ``hang_up_after`` frames the connection ends."""

    hang_up_after = 10
    served = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for _ in range(self.hang_up_after):
            type(self).served += 1
            data = jpeg(self.served)
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + data + b"\r\n")
            except OSError:
                return
            time.sleep(0.03)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


def test_a_stream_that_breaks_is_opened_again():
    server = http.server.ThreadingHTTPServer(("127.0.41.21", 0), MotionJpeg)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with camera(driver="opencv", device=f"http://127.0.41.21:{server.server_port}/film") as lab:
            lab.activate()
            lab.images.wait_count(3)
            lab.images.wait_count(MotionJpeg.hang_up_after + 5)
            assert lab.node.reopened >= 1
    finally:
        server.shutdown()
        server.server_close()
