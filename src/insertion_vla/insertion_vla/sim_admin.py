"""Client of the simulation's admin socket: one JSON object per line and per answer, loopback only."""

import json
import re
import socket
from typing import Any

ADMIN_PORT = 10500
TIMEOUT_S = 5.0
TARGETS = ("red", "green", "blue")


class AdminError(Exception):
    """The simulation refused or did not answer; the sentence says why."""


class SimAdmin:
    """Resets the simulation, asks for its ground truth and injects faults."""

    def __init__(self, host: str) -> None:
        """Connects to the simulation at a loopback address; raises AdminError when there is none."""
        try:
            self._socket = socket.create_connection((host, ADMIN_PORT), timeout=TIMEOUT_S)
        except OSError as error:
            raise AdminError(f"no simulation answers at {host}:{ADMIN_PORT} ({error}): start it there") from None
        self._file = self._socket.makefile("rb")

    def ask(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """Sends one command and returns its answer; raises AdminError with the simulation's sentence on a refusal."""
        try:
            self._socket.sendall(json.dumps({"cmd": cmd, **fields}).encode() + b"\n")
            line = self._file.readline()
        except OSError as error:
            raise AdminError(f"the simulation did not answer '{cmd}' within {TIMEOUT_S:g} s: {error}") from None
        if not line:
            raise AdminError(f"the simulation closed the connection before it answered '{cmd}'")
        answer = json.loads(line)
        if not answer.get("ok"):
            raise AdminError(f"the simulation refused '{cmd}': {answer.get('error')}")
        return answer

    def close(self) -> None:
        """Closes the connection."""
        self._file.close()
        self._socket.close()


def named_target(instruction: str) -> str:
    """The trocar that an instruction names; raises AdminError when it does not name exactly one."""
    named = [colour for colour in TARGETS if colour in re.findall(r"\w+", instruction.lower())]
    if len(named) != 1:
        raise AdminError(f"expected an instruction that names one of {', '.join(TARGETS)}, got '{instruction}'")
    return named[0]
