"""The base of every node: a lifecycle node whose failures have a name, and the ``run`` that every executable uses.

rclpy swallows exceptions in lifecycle transitions, has shut the context down before a node can send a last message
after SIGINT, and accepts misspelt parameters in silence. This module is where each of these is put right, once.
"""

import gc
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.utilities import remove_ros_args

from insertion_vla.end_on_signal import EndOnSignal
from insertion_vla.parameters import ParameterModel, ParameterSet
from insertion_vla.spinning import Spinner

RCLError = rclpy_implementation.RCLError
SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR


class ManagedNode(LifecycleNode):
    """A lifecycle node with parameters from a model, hooks that may raise, and diagnostics.

    A subclass sets ``NAME`` and ``Parameters`` and overrides the hooks. ``setup`` and ``start`` refuse by raising
    ``ValueError`` (or ``OSError``) with a sentence; the node then falls back to where it was. ``stop`` and ``teardown``
    must work after a half-done ``start`` or ``setup`` too, and more than once. Publishers, subscriptions, services,
    clients and timers created in ``setup`` are destroyed after ``teardown``, those created in ``start`` after ``stop``.

    Attributes:
        params: the values of ``Parameters`` from configure to clean-up.
        phase: "unconfigured", "inactive", "active" or "finalized".
        updater: diagnostic_updater.Updater; ``diagnose`` is its first task, more may be added in ``setup``.
    """

    NAME: ClassVar[str]
    Parameters: ClassVar[type[ParameterModel]] = ParameterModel

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(self.NAME, **kwargs)
        self.params: Any = None
        self.phase = "unconfigured"
        self.problem = ""  # why the last transition failed
        self._parameter_set = ParameterSet(self, self.Parameters)
        self.add_post_set_parameters_callback(self._after_set)
        self._born: dict[str, list[tuple[Callable[[Any], bool], Any]]] = {}
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._change_state_or_say_why
        self.updater = Updater(self)
        self.updater.setHardwareID("none")
        self.updater.add(self.get_name(), self._diagnose)

    # Hooks, all optional.

    def setup(self) -> None:
        """Configure: read ``self.params``, open devices, create publishers and services."""

    def start(self) -> None:
        """Activate: begin to work."""

    def stop(self) -> None:
        """Deactivate: cease to work; anything that moves stops first."""

    def teardown(self) -> None:
        """Clean up: close devices."""

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        """Fill in the state of an active node; a summary of OK is already set."""

    def parameters_changed(self) -> None:
        """``self.params`` holds new values, set while the node was configured."""

    def interrupted(self) -> None:
        """SIGINT or SIGTERM came. Called at once from another thread, while a callback may still be running."""

    # Transitions.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure, self._unconfigure, "inactive")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        super().on_activate(state)  # lifecycle publishers
        return self._transition("activate", lambda: self._recording("start", self.start), self._halt, "active")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._transition("deactivate", self._halt, None, "inactive")
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("clean up", self._unconfigure, None, "unconfigured")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("shut down", self._dismantle, None, "finalized")

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        problem = self.problem
        result = self._transition("recover", self._dismantle, None, "unconfigured")
        self.problem = problem
        if result != SUCCESS:
            self.phase = "finalized"  # it neither works nor stops: only a new process helps
        return result

    def _change_state_or_say_why(self, request: ChangeState.Request, response: ChangeState.Response) -> Any:
        """Answer a transition that the present state does not have; rclpy lets that exception end the process."""
        try:
            return self._change_state(request, response)
        except RCLError:
            wanted = request.transition.label or f"transition {request.transition.id}"
            self.get_logger().warning(f"refused '{wanted}': not possible while {self.phase}")
            response.success = False
            return response

    def _configure(self) -> None:
        self.params = self._parameter_set.load()
        self._parameter_set.configured = True
        self._recording("setup", self.setup)

    def _halt(self) -> None:
        try:
            self.stop()
        finally:
            self._destroy("start")

    def _unconfigure(self) -> None:
        try:
            if self.params is not None:
                self.teardown()
        finally:
            self._destroy("setup")
            self._parameter_set.configured = False
            self.params = None

    def _dismantle(self) -> None:
        try:
            if self.phase == "active":
                self._halt()
        finally:
            self._unconfigure()

    def _transition(
        self, verb: str, action: Callable[[], None], undo: Callable[[], None] | None, after: str
    ) -> TransitionCallbackReturn:
        """Run one transition; a refusal is one logged sentence, anything else a logged traceback."""
        try:
            action()
        except (ValueError, OSError) as error:
            self._refuse(f"cannot {verb}: {error}")
            result = FAILURE
        except Exception as error:
            self._refuse(f"cannot {verb}: {type(error).__name__}: {error}\n{traceback.format_exc()}")
            result = ERROR
        else:
            self.phase, self.problem = after, ""
            return SUCCESS
        if undo is None:
            return ERROR  # half stopped or half closed: let on_error dismantle the rest
        try:
            undo()
        except Exception as error:
            self._refuse(f"{self.problem}; and undoing it failed: {error}\n{traceback.format_exc()}")
            return ERROR
        return result

    def _refuse(self, problem: str) -> None:
        self.problem = problem.split("\n")[0]
        self.get_logger().error(problem)
        self.updater.force_update()

    def _recording(self, stage: str, hook: Callable[[], None]) -> None:
        """Run a hook and remember the entities that it creates."""
        before = {id(entity) for _, entity in self._entities()}
        try:
            hook()
        finally:
            self._born[stage] = [(destroy, entity) for destroy, entity in self._entities() if id(entity) not in before]

    def _destroy(self, stage: str) -> None:
        alive = {id(entity) for _, entity in self._entities()}
        for destroy, entity in self._born.pop(stage, []):
            if id(entity) in alive:
                destroy(entity)

    def _entities(self) -> list[tuple[Callable[[Any], bool], Any]]:
        return [
            *((self.destroy_timer, e) for e in self.timers),
            *((self.destroy_subscription, e) for e in self.subscriptions),
            *((self.destroy_service, e) for e in self.services),
            *((self.destroy_client, e) for e in self.clients),
            *((self.destroy_publisher, e) for e in self.publishers),
        ]

    def _after_set(self, parameters: list[Parameter]) -> None:
        if self._parameter_set.configured and any(p.name in self._parameter_set.specs for p in parameters):
            self.params = self._parameter_set.load()
            self.parameters_changed()

    def _diagnose(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        if self.problem:
            stat.summary(DiagnosticStatus.ERROR, self.problem)
        elif self.phase != "active":
            stat.summary(DiagnosticStatus.OK, self.phase)
        else:
            stat.summary(DiagnosticStatus.OK, "active")
            self.diagnose(stat)
        stat.add("lifecycle state", self.phase)
        return stat


def run(node_class: type[ManagedNode], args: Sequence[str] | None = None) -> int:
    """Run one node until SIGINT or SIGTERM: the main of every executable.

    rclpy's own handlers shut the context before a node can stop anything, so they are not installed: the signal ends
    the spinning, ``stop`` and ``teardown`` run with everything alive, and the context goes last.

    Returns:
        The process's exit code: 0, 1 after an exception in a callback, 2 for a command-line word that is not ROS's.
    """
    words = sys.argv[1:] if args is None else list(args)
    if foreign := [word for word in remove_ros_args(words) if word]:
        print(
            f"{node_class.NAME}: expected nothing but --ros-args on the command line, got '{foreign[0]}': give "
            "parameters as --ros-args -p name:=value, or in a file with --ros-args --params-file FILE",
            file=sys.stderr,
        )
        return 2
    rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
    node: ManagedNode | None = None
    code = 0
    executor = SingleThreadedExecutor()
    finished = Future()  # no executor: its callback wakes the spinning from the thread of the signals
    with EndOnSignal(finished) as signals:
        try:
            node = node_class()
            signals.interrupted = node.interrupted
            executor.add_node(node)
            gc.collect()
            gc.freeze()  # what the imports made never becomes garbage: full collections get short
            Spinner(executor, node, finished).spin()
        except ExternalShutdownException:
            node = None  # someone else ended the context: nothing can be sent any more
        except Exception as error:
            print(f"{node_class.NAME}: {type(error).__name__}: {error}\n{traceback.format_exc()}", flush=True)
            code = 1
        finally:
            signals.settle()
            if node is not None:
                if node.phase != "finalized":
                    node.trigger_shutdown()
                executor.shutdown(timeout_sec=1.0)
                node.destroy_node()
            rclpy.try_shutdown()
    return code
