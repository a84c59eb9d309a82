"""Admin socket: one JSON object per line and one per answer, loopback only.

Commands are carried out between two physics ticks, so an answer never shows half a tick.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from typing import Any

from insertion_vla_sim.randomise import RANDOMISATIONS
from insertion_vla_sim.scene import COLOURS

from .bench import Bench
from .expert_service import ExpertService
from .faults import FAULTS, FaultError, check
from .io_loop import IoLoop
from .line_server import Connection, LineServer
from .options import MAX_SEED
from .ports import ADMIN

MAX_LINE = 16384

Answer = dict[str, Any]


class Refusal(ValueError):
    """A request that cannot be carried out; the sentence is the answer's error."""


class AdminServer:
    """Serves the simulation's back door; sockets in the I/O thread, commands in the physics thread."""

    def __init__(
        self,
        loop: IoLoop,
        host: str,
        bench: Bench,
        pace: Callable[[], Answer],
        render: str,
        shutdown: Callable[[], None],
    ) -> None:
        """Listen on host:10500.

        Args:
            loop: thread of the sockets.
            host: address to bind.
            bench: what is served.
            pace: real-time figures of the physics loop.
            render: path of the shared render state.
            shutdown: called when a client asks for the end.

        Raises:
            OSError: the address is taken.
        """
        self._loop, self._bench, self._pace, self._render, self._shutdown = loop, bench, pace, render, shutdown
        self._expert = ExpertService()
        self._commands: dict[str, tuple[tuple[str, ...], Callable[[Answer], Answer]]] = {
            "reset": (("seed", "randomisation"), self._reset),
            "truth": (("target",), self._truth),
            "fault": (("name", "..."), self._fault),
            "faults": ((), self._faults),
            "clear_faults": ((), lambda _request: {"cleared": bench.clear_faults()}),
            "expert_reset": (("target",), self._expert_reset),
            "expert": (("tool", "force_n", "surface_m"), self._expert_act),
            "stats": ((), lambda _request: bench.stats() | {"pace": pace()}),
            "render_state": ((), lambda _request: {"path": render}),
            "shutdown": ((), self._end),
        }
        self._server = LineServer(loop, host, ADMIN, self._on_line, self._on_too_long, max_line=MAX_LINE)

    def close(self) -> None:
        """Stop listening and close every client."""
        self._server.close()

    def _on_line(self, connection: Connection, line: str) -> None:
        if line:
            self._bench.mailbox.post(lambda: self._serve(connection, line))

    def _on_too_long(self, connection: Connection) -> None:
        self._answer(connection, {"ok": False, "error": f"expected a line of at most {MAX_LINE} bytes"})
        connection.close()

    def _serve(self, connection: Connection, line: str) -> None:
        try:
            answer: Answer = {"ok": True, **self._carry_out(line)}
        except (Refusal, FaultError) as refusal:
            answer = {"ok": False, "error": str(refusal)}
        self._loop.post(lambda: self._answer(connection, answer))

    @staticmethod
    def _answer(connection: Connection, answer: Answer) -> None:
        connection.send(json.dumps(answer).encode() + b"\n")

    def _carry_out(self, line: str) -> Answer:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Refusal(f"expected one JSON object per line, got {line[:60]!r}") from error
        if not isinstance(request, dict):
            raise Refusal(f"expected a JSON object, got {type(request).__name__}")
        name = request.pop("cmd", None)
        if not isinstance(name, str) or name not in self._commands:
            near = difflib.get_close_matches(str(name), self._commands, 1)
            hint = f", did you mean {near[0]}" if near else ""
            raise Refusal(f"unknown cmd {name!r}{hint}; known: {', '.join(self._commands)}")
        fields, call = self._commands[name]
        unknown = [key for key in request if key not in fields and "..." not in fields]
        if unknown:
            raise Refusal(f"{name} has no field {unknown[0]!r}; its fields: {', '.join(fields) or 'none'}")
        return call(request)

    def _reset(self, request: Answer) -> Answer:
        seed, randomisation = request.get("seed"), request.get("randomisation")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
            raise Refusal(f"reset needs a seed, a whole number from 0 to {MAX_SEED}, got {seed!r}")
        if randomisation is not None and randomisation not in RANDOMISATIONS:
            raise Refusal(f"randomisation must be one of {', '.join(RANDOMISATIONS)}, got {randomisation!r}")
        return self._bench.reset(seed, randomisation)

    def _truth(self, request: Answer) -> Answer:
        target = request.get("target")
        if target is not None and target not in COLOURS:
            raise Refusal(f"target must be one of {', '.join(COLOURS)}, got {target!r}")
        return self._bench.truth(target)

    def _expert_reset(self, request: Answer) -> Answer:
        try:
            return self._expert.reset(self._bench.world, request.get("target"))
        except ValueError as error:
            raise Refusal(str(error)) from error

    def _expert_act(self, request: Answer) -> Answer:
        try:
            return self._expert.act(
                self._bench.world, request.get("tool"), request.get("force_n"), request.get("surface_m")
            )
        except ValueError as error:
            raise Refusal(str(error)) from error

    def _fault(self, request: Answer) -> Answer:
        name = request.pop("name", None)
        parameters = check(name, request)
        self._bench.set_fault(name, parameters)
        return {"name": name, "parameters": parameters}

    @staticmethod
    def _faults(_request: Answer) -> Answer:
        return {
            "faults": {
                name: {
                    "device": fault.device,
                    "does": fault.does,
                    "parameters": {key: parameter.default for key, parameter in fault.parameters.items()},
                }
                for name, fault in FAULTS.items()
            }
        }

    def _end(self, _request: Answer) -> Answer:
        self._loop.post(self._shutdown)
        return {}
