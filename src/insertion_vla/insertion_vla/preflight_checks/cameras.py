"""A camera of the launch, through the source that its node will use: rate and size against the contract."""

import time

from insertion_vla_core.contract import ImageStream

from insertion_vla.cameras.frame import Frame, Source, jpeg_size
from insertion_vla.nodes.camera import Parameters, make_source
from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection
from insertion_vla.view_freshness import ViewFreshness

MEASURE_S = 2.0
FIRST_S = 3.0  # to wait for the first picture
READ_S = 0.1
SLOW, TOO_SLOW = 0.8, 0.5  # shares of the contract's rate


def check_camera(selection: Selection, view: str) -> list[Finding]:
    """One view, for two seconds."""
    contract = selection.contract()
    name = f"camera {view}"
    p: Parameters = selection.parameters(f"camera_{view}")
    wanted = next((image for image in contract.images if image.name == view), None)
    if wanted is None:
        known = ", ".join(image.name for image in contract.images)
        return [Finding(name, "fix", f"the contract has no view '{view}', only {known}", "choose cameras:= of these")]
    source = make_source(p)
    try:
        source.open()
        return [_measure(name, p, wanted, source)]
    except OSError as error:
        return [Finding(name, "fix", str(error), f"put right camera_{view}.device, or what holds it")]
    finally:
        source.close()


def _measure(name: str, p: Parameters, wanted: ImageStream, source: Source) -> Finding:
    began_s = time.monotonic()
    seen = ViewFreshness(p.view, wanted.rate_hz, began_s)
    times_s: list[float] = []
    size: tuple[int, int] | None = None
    while not times_s or times_s[-1] - times_s[0] < MEASURE_S:
        frame = source.read(READ_S)
        now_s = time.monotonic()
        if frame is not None:
            times_s.append(now_s)
            size = _size(frame)
            seen.push(frame.stamp_ns, _bytes(frame), now_s)
        elif not times_s and now_s - began_s > FIRST_S:
            rest = ", ".join(f"{count} {what}" for what, count in source.counters().items() if count)
            fix = f"switch the camera on and check cable and camera_{p.view}.device ({p.device})"
            return Finding(name, "fix", f"no picture within {FIRST_S:g} s{f'; {rest}' if rest else ''}", fix)
        if times_s and (problem := seen.problem(now_s)):
            return Finding(name, "fix", problem, f"check the cable of camera_{p.view}, and what else uses it")
    rate_hz = (len(times_s) - 1) / (times_s[-1] - times_s[0])
    return _judge(name, wanted, size, rate_hz)


def _judge(name: str, wanted: ImageStream, size: tuple[int, int] | None, rate_hz: float) -> Finding:
    target = (wanted.width, wanted.height)
    given = f"{size[0]}x{size[1]}" if size else "pictures of unknown size"
    figures = f"{rate_hz:.1f} Hz, {given} (contract {wanted.rate_hz:g} Hz, {target[0]}x{target[1]})"
    if size != target:
        fix = f"set the camera (or {name.replace(' ', '_')}.width and height) to {target[0]}x{target[1]}"
        return Finding(name, "fix", figures, f"{fix}, or train on a contract of this size")
    if rate_hz < SLOW * wanted.rate_hz:
        fix = "check exposure time, USB bandwidth and the load of both machines"
        return Finding(name, "fix" if rate_hz < TOO_SLOW * wanted.rate_hz else "warning", figures, fix)
    return Finding(name, "ok", figures)


def _size(frame: Frame) -> tuple[int, int] | None:
    if frame.jpeg is not None:
        return jpeg_size(frame.jpeg)
    height, width = frame.pixels.shape[:2]
    return width, height


def _bytes(frame: Frame) -> bytes:
    return frame.jpeg if frame.jpeg is not None else frame.pixels.tobytes()
