"""Diagnostic tasks and the updater that runs and publishes them."""

import threading
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from diagnostic_updater._diagnostic_status_wrapper import DiagnosticStatusWrapper

TaskFunction = Callable[[DiagnosticStatusWrapper], DiagnosticStatusWrapper]


class DiagnosticTask:
    """A named source of diagnostics; subclasses fill the status in `run`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def getName(self) -> str:
        return self.name

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Fill and return `stat`."""
        return stat


class FunctionDiagnosticTask(DiagnosticTask):
    """A task out of a function that fills and returns the status."""

    def __init__(self, name: str, fn: TaskFunction) -> None:
        super().__init__(name)
        self.fn = fn

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        return self.fn(stat)


class CompositeDiagnosticTask(DiagnosticTask):
    """Several tasks in one status: their values one after the other, their summaries merged."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.tasks: list[DiagnosticTask] = []

    def addTask(self, t: DiagnosticTask) -> None:
        self.tasks.append(t)

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        given, merged = DiagnosticStatusWrapper(), DiagnosticStatusWrapper()
        given.summary(stat)
        for task in self.tasks:
            # Every task starts from the summary that came in, not from its neighbour's.
            stat.summary(given)
            stat = task.run(stat)
            merged.mergeSummary(stat)
        stat.summary(merged)
        return stat


class DiagnosticTaskVector:
    """A list of tasks, safe to change from other threads."""

    class DiagnosticTaskInternal:
        """A task's name and function."""

        def __init__(self, name: str, fn: TaskFunction) -> None:
            self.name = name
            self.fn = fn

        def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
            stat.name = self.name
            return self.fn(stat)

    def __init__(self) -> None:
        self.tasks: list[DiagnosticTaskVector.DiagnosticTaskInternal] = []
        self.lock = threading.Lock()

    def addedTaskCallback(self, task: "DiagnosticTaskVector.DiagnosticTaskInternal") -> None:
        """Called with each task that is added; a hook for subclasses."""

    def add(self, *args: Any) -> None:
        """`add(task)` with a DiagnosticTask, or `add(name, function)`."""
        if len(args) == 1:
            name, function = args[0].getName(), args[0].run
        elif len(args) == 2:
            name, function = args
        else:
            raise TypeError(f"expected add(task) or add(name, function), got {len(args)} arguments")
        task = DiagnosticTaskVector.DiagnosticTaskInternal(name, function)
        with self.lock:
            self.tasks.append(task)
            self.addedTaskCallback(task)

    def removeByName(self, name: str) -> bool:
        """Remove the first task of that name; True if there was one."""
        with self.lock:
            for index, task in enumerate(self.tasks):
                if task.name == name:
                    del self.tasks[index]
                    return True
        return False


class Updater(DiagnosticTaskVector):
    """Runs its tasks at a period and publishes the result on /diagnostics.

    Parameters of the node (declared here unless they are already):
        diagnostic_updater.period: [s] time between updates, `period` by default.
        diagnostic_updater.use_fqn: Prefix names with the fully qualified node name instead of its base name.

    Attributes:
        verbose: Log a warning for every task that is not OK.
    """

    def __init__(self, node: Any, period: float = 1.0) -> None:
        super().__init__()
        self.node = node
        self.publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self.period_parameter = "diagnostic_updater.period"
        self.__period = self._parameter(self.period_parameter, period)
        self.use_fqn_parameter = "diagnostic_updater.use_fqn"
        self.__use_fqn = self._parameter(self.use_fqn_parameter, False)
        self.node_name = node.get_fully_qualified_name() if self.__use_fqn else node.get_name()
        self.timer = node.create_timer(self.__period, self.update)
        self.verbose = False
        self.hwid = ""
        self.warn_nohwid_done = False

    def _parameter(self, name: str, default: Any) -> Any:
        if self.node.has_parameter(name):
            return self.node.get_parameter(name).value
        return self.node.declare_parameter(name, default).value

    @property
    def period(self) -> float:
        """[s] between updates."""
        return self.__period

    @period.setter
    def period(self, period: float) -> None:
        self.node.destroy_timer(self.timer)
        self.__period = period
        self.timer = self.node.create_timer(period, self.update)

    def setHardwareID(self, hwid: str) -> None:
        """Name the hardware behind this node; 'none' where there is none."""
        self.hwid = hwid

    def update(self) -> None:
        """Run all tasks and publish what they say."""
        statuses = []
        with self.lock:
            for task in self.tasks:
                status = DiagnosticStatusWrapper(
                    level=DiagnosticStatus.ERROR,
                    name=task.name,
                    message="No message was set",
                    hardware_id=self.hwid,
                )
                status = task.run(status)
                statuses.append(status)
                if self.verbose and status.level != DiagnosticStatus.OK:
                    self.node.get_logger().warning(
                        f"Non-zero diagnostic status. Name: {status.name}, status {status.level[0]}: {status.message}"
                    )
        if not self.hwid and not self.warn_nohwid_done and all(s.level == DiagnosticStatus.OK for s in statuses):
            self.node.get_logger().warning(
                "diagnostic_updater: no hardware id was set; call setHardwareID, with 'none' if there is no hardware"
            )
            self.warn_nohwid_done = True
        self.publish(statuses)

    def force_update(self) -> None:
        """Update now, outside the period."""
        self.update()

    def broadcast(self, lvl: bytes, msg: str) -> None:
        """Publish one level and message for every task, for example before a shutdown."""
        with self.lock:
            names = [task.name for task in self.tasks]
        statuses = []
        for name in names:
            status = DiagnosticStatusWrapper(name=name, hardware_id=self.hwid)
            status.summary(lvl, msg)
            statuses.append(status)
        self.publish(statuses)

    def publish(self, msg: Any) -> None:
        """Publish one status or a list of them, their names prefixed with the node's."""
        statuses = msg if isinstance(msg, list) else [msg]
        array = DiagnosticArray()
        array.header.stamp = self.node.get_clock().now().to_msg()
        array.status = [
            DiagnosticStatus(
                level=status.level,
                name=f"{self.node_name}: {status.name}",
                message=status.message,
                hardware_id=status.hardware_id,
                values=status.values,
            )
            for status in statuses
        ]
        self.publisher.publish(array)

    def addedTaskCallback(self, task: DiagnosticTaskVector.DiagnosticTaskInternal) -> None:
        status = DiagnosticStatusWrapper(name=task.name, hardware_id=self.hwid)
        status.summary(DiagnosticStatus.OK, "Node starting up")
        self.publish(status)
