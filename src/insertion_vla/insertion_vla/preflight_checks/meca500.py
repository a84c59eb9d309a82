"""A Meca500 asked who it is, over its text protocol; nothing is activated, nothing moves, nothing is changed.

Messages are `[code][text]`, each ended by a zero byte. The control port greets with the model and the firmware, and
turns away a second program; the monitoring port reports status and joint positions to anyone. The same ports and codes
as in mecademicpy, which the arm node uses, but that sets up more of the robot than a look needs.
"""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mecademicpy.mx_robot_def import MX_ROBOT_TCP_PORT_CONTROL, MX_ROBOT_TCP_PORT_FEED
from mecademicpy.mx_robot_def import MxRobotStatusCode as Code

from insertion_vla.preflight_checks.finding import Finding, NotDone

CONNECT_S = 2.0
ANSWER_S = 2.0
WATCH_S = 0.5  # of monitoring data
FIRMWARE = 11  # major version whose manual the arm node follows
STATE = "robot state"
MAX_BYTES = 1 << 20  # a stranger that sends more than this without a message is no robot
_MESSAGE = re.compile(r"\[(\d+)\]\[(.*)\]", re.DOTALL)
_VERSION = re.compile(r"v?(\d+)\.\d+")
_REACH = "switch the robot's controller on, check the cable and arm.meca500.address, and try to ping it"


def check_meca500(address: str) -> list[Finding]:
    """Both ports of the robot at an address; needs its controller on, not its motors."""
    control = _control(address)
    try:
        return [control, _monitoring(address)]
    except NotDone as reason:
        return [control, Finding(STATE, "fix", str(reason), reason.fix)]


def _control(address: str) -> Finding:
    place = f"{address}:{MX_ROBOT_TCP_PORT_CONTROL}"
    with _connected(address, MX_ROBOT_TCP_PORT_CONTROL) as link:
        greeting = ""
        for code, text in _messages(link, place, ANSWER_S):
            if code == Code.MX_ST_USER_ALREADY:
                fix = "end the other program (a launch, the robot's web page): the robot obeys one at a time"
                return Finding("robot", "fix", f"{place} is taken: {text}", fix)
            if code == Code.MX_ST_CONNECTED:
                greeting = text
                link.sendall(b"GetFwVersion\0")
            if code == Code.MX_ST_GET_FW_VERSION:
                return _identified(place, greeting, text)
    if not greeting:
        raise NotDone(f"{place} accepts the connection, but does not greet as a Meca500 does", _REACH)
    raise NotDone(f"{place} greets with '{greeting}', but does not tell its firmware", "restart the robot's controller")


def _identified(place: str, greeting: str, answer: str) -> Finding:
    version = _VERSION.match(answer.strip())
    model = greeting.removeprefix("Connected to ").rsplit(" v", 1)[0]
    figures = f"{model} at {place}, firmware {answer.strip().removeprefix('v')}"
    if version is None or int(version[1]) < FIRMWARE:
        fix = f"update the firmware to {FIRMWARE} or newer (the robot's web page): the arm node follows its manual"
        return Finding("robot", "warning", figures, fix)
    return Finding("robot", "ok", figures)


def _monitoring(address: str) -> Finding:
    place = f"{address}:{MX_ROBOT_TCP_PORT_FEED}"
    flags: list[str] = []
    times_s: list[float] = []
    pressed = False
    with _connected(address, MX_ROBOT_TCP_PORT_FEED) as link:
        for code, text in _messages(link, place, WATCH_S):
            if code == Code.MX_ST_GET_STATUS_ROBOT:
                flags = text.split(",")
            elif code == Code.MX_ST_ESTOP:
                pressed = text.strip() == "1"
            elif code == Code.MX_ST_RT_CYCLE_END:
                times_s.append(time.monotonic())
    if len(times_s) < 2:
        fix = "restart the robot's controller"
        return Finding(STATE, "fix", f"{place} answers, but sends no states within {WATCH_S:g} s", fix)
    rate_hz = (len(times_s) - 1) / max(1e-3, times_s[-1] - times_s[0])
    motors = {"1": "on", "0": "off"}.get(flags[0] if flags else "", "in unknown state")
    figures = f"{rate_hz:.0f} Hz from {place}, motors {motors}"
    if pressed:
        return Finding(STATE, "warning", f"{figures}, emergency stop pressed", "release it before the launch")
    if len(flags) > 3 and flags[3] == "1":
        fix = "find out why (the robot's web page), then reset it there, or with arm/rearm after the launch"
        return Finding(STATE, "fix", f"{figures}, in error", fix)
    return Finding(STATE, "ok", f"{figures}, no error")


@contextmanager
def _connected(address: str, port: int) -> Iterator[socket.socket]:
    try:
        link = socket.create_connection((address, port), CONNECT_S)
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or error
        raise NotDone(f"no Meca500 at {address}:{port}: {why}", _REACH) from None
    with link:
        yield link


def _messages(link: socket.socket, place: str, seconds: float) -> Iterator[tuple[int, str]]:
    """(code, text) of what comes within a time; raises NotDone when the robot hangs up or is none."""
    deadline_s = time.monotonic() + seconds
    rest = b""
    while (left_s := deadline_s - time.monotonic()) > 0.0:
        link.settimeout(left_s)
        try:
            data = link.recv(1 << 16)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        *lines, rest = (rest + data).split(b"\0")
        for line in lines:
            if match := _MESSAGE.fullmatch(line.decode("utf-8", "replace").strip()):
                yield int(match[1]), match[2]
        if not data or len(rest) > MAX_BYTES:
            raise NotDone(f"{place} sends no messages of a Meca500" if data else f"{place} hangs up at once", _REACH)
