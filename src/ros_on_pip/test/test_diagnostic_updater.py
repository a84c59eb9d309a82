"""Status messages, tasks, and what the updater publishes."""

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from diagnostic_updater import (
    CompositeDiagnosticTask,
    DiagnosedPublisher,
    DiagnosticStatusWrapper,
    FrequencyStatus,
    FrequencyStatusParam,
    FunctionDiagnosticTask,
    HeaderlessTopicDiagnostic,
    Heartbeat,
    TimeStampStatus,
    TimeStampStatusParam,
    TopicDiagnostic,
    Updater,
)
from geometry_msgs.msg import WrenchStamped
from rclpy.context import Context
from rclpy.node import Node
from rclpy.time import Time

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class SettableClock:
    """A clock that a test sets."""

    def __init__(self, seconds=1000.0):
        self.seconds = seconds

    def now(self):
        return Time(nanoseconds=round(self.seconds * 1e9))


@pytest.fixture(scope="module")
def context():
    made = Context()
    rclpy.init(context=made, args=[])
    yield made
    rclpy.shutdown(context=made)


@pytest.fixture
def node(context):
    made = Node("talker", namespace="/arm", context=context, automatically_declare_parameters_from_overrides=True)
    yield made
    made.destroy_node()


def record(updater):
    """Arrays that the updater publishes, without DDS."""
    sent = []

    class Publisher:
        def publish(self, message):
            assert isinstance(message, DiagnosticArray)
            sent.append(message)

    updater.publisher = Publisher()
    return sent


def values(status):
    return {pair.key: pair.value for pair in status.values}


def test_summary_and_values():
    status = DiagnosticStatusWrapper(level=WARN, message="at first")
    status.summary(ERROR, 5)
    assert (status.level, status.message) == (ERROR, "5")
    status.summary(DiagnosticStatus(level=WARN, message="taken over"))
    assert (status.level, status.message) == (WARN, "taken over")
    status.clearSummary()
    assert (status.level, status.message) == (OK, "")
    status.add("rate", 10.5)
    status.add("name", "front")
    assert values(status) == {"rate": "10.5", "name": "front"}
    with pytest.raises(TypeError, match="level, message"):
        status.summary(WARN, "a", "b")


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ((OK, "ok"), (WARN, "warn"), (WARN, "warn")),
        ((WARN, "warn"), (OK, "ok"), (WARN, "warn")),
        ((WARN, "warn"), (ERROR, "err"), (ERROR, "warn; err")),
        ((OK, ""), (OK, "fine"), (OK, "fine")),
        ((OK, "a"), (OK, "b"), (OK, "a; b")),
    ],
)
def test_merging_keeps_the_worst(first, second, merged):
    status = DiagnosticStatusWrapper(level=first[0], message=first[1])
    status.mergeSummary(*second)
    assert (status.level, status.message) == merged
    status = DiagnosticStatusWrapper(level=first[0], message=first[1])
    status.mergeSummary(DiagnosticStatus(level=second[0], message=second[1]))
    assert (status.level, status.message) == merged


def frequency(bounds, window=2):
    status = FrequencyStatus(FrequencyStatusParam(bounds, 0.5, window))
    status.clock = SettableClock()
    status.clear()
    return status


def test_frequency_has_bounds_with_tolerance_over_a_window():
    status = frequency({"min": 10, "max": 20})
    levels = []
    # Limits with tolerance: 5 to 30 Hz over the last two updates.
    for elapsed, ticks in ((0.02, 1), (0.05, 1), (0.3, 1), (0.15, 1)):
        status.clock.seconds += elapsed
        for _ in range(ticks):
            status.tick()
        levels.append(status.run(DiagnosticStatusWrapper()).level)
    assert levels == [WARN, OK, OK, WARN]
    status.clear()
    silent = status.run(DiagnosticStatusWrapper())
    assert (silent.level, silent.message) == (ERROR, "No events recorded.")
    assert silent.name == "" and status.getName() == "FrequencyStatus"


def test_frequency_tells_what_it_measured():
    bounds = {"min": 10.0, "max": 10.0}
    status = frequency(bounds, window=1)
    status.clock.seconds += 2
    for _ in range(20):
        status.tick()
    met = status.run(DiagnosticStatusWrapper())
    assert met.message == "Desired frequency met"
    assert values(met) == {
        "Events in window": "20",
        "Events since startup": "20",
        "Duration of window (s)": "2.000000",
        "Actual frequency (Hz)": "10.000000",
        "Target frequency (Hz)": "10.000000",
        "Minimum acceptable frequency (Hz)": "5.000000",
        "Maximum acceptable frequency (Hz)": "15.000000",
    }
    bounds.update(min=0, max=1)  # the dictionary is shared on purpose
    status.clock.seconds += 1
    for _ in range(20):
        status.tick()
    assert status.run(DiagnosticStatusWrapper()).message == "Frequency too high."


def test_stamps_too_old_too_new_and_zero():
    status = TimeStampStatus(TimeStampStatusParam(-1, 5))
    status.clock = SettableClock()
    seen = [status.run(DiagnosticStatusWrapper())]
    for age in (-2, 0, 4, 6):
        status.tick(status.clock.seconds - age)
        seen.append(status.run(DiagnosticStatusWrapper()))
    assert [s.level for s in seen] == [WARN, ERROR, OK, OK, ERROR]
    status.tick(Time(seconds=status.clock.seconds - 1))
    status.tick(0.0)
    zero = status.run(DiagnosticStatusWrapper())
    assert zero.message == "Zero timestamp seen."
    assert values(zero)["Late diagnostic update count:"] == "1"
    assert values(zero)["Early diagnostic update count:"] == "1"
    assert values(zero)["Zero seen diagnostic update count:"] == "1"
    assert status.getName() == "Timestamp Status"


def test_a_composite_merges_its_tasks():
    both = CompositeDiagnosticTask("both")
    for level, message in ((WARN, "warm"), (OK, "fine"), (ERROR, "loose")):

        def fill(status, level=level, message=message):
            status.summary(level, message)
            status.add(message, "1")
            return status

        both.addTask(FunctionDiagnosticTask(message, fill))
    status = both.run(DiagnosticStatusWrapper())
    assert (status.level, status.message) == (ERROR, "warm; loose")
    assert list(values(status)) == ["warm", "fine", "loose"]


def test_a_task_of_a_composite_starts_from_the_summary_that_came_in():
    both = CompositeDiagnosticTask("both")

    def fail(status):
        status.summary(ERROR, "loose")
        return status

    both.addTask(FunctionDiagnosticTask("fails", fail))
    both.addTask(FunctionDiagnosticTask("says nothing", lambda status: status))
    assert both.run(DiagnosticStatusWrapper(level=WARN, message="given")).message == "loose; given"


def test_the_updater_publishes_every_task_by_node_name(node):
    updater = Updater(node, period=0.5)
    sent = record(updater)
    updater.setHardwareID("sensor-7")
    updater.add("check", lambda status: status)
    updater.add(Heartbeat())
    assert [a.status[0].message for a in sent] == ["Node starting up", "Node starting up"]
    updater.force_update()
    check, heartbeat = sent[-1].status
    assert (check.name, check.level, check.message) == ("talker: check", ERROR, "No message was set")
    assert (heartbeat.name, heartbeat.message, heartbeat.hardware_id) == ("talker: Heartbeat", "Alive", "sensor-7")
    assert sent[-1].header.stamp.sec > 0
    updater.broadcast(WARN, "going down")
    assert [(s.level, s.message) for s in sent[-1].status] == [(WARN, "going down")] * 2
    assert updater.removeByName("check") and not updater.removeByName("check")
    updater.update()
    assert len(sent[-1].status) == 1
    with pytest.raises(TypeError, match="add"):
        updater.add("name", print, "more")


def test_period_and_names_are_parameters(context):
    overrides = [
        rclpy.Parameter("diagnostic_updater.use_fqn", value=True),
        rclpy.Parameter("diagnostic_updater.period", value=0.25),
    ]
    for declared in (False, True):
        node = Node(
            "talker",
            namespace="/arm",
            context=context,
            parameter_overrides=overrides,
            automatically_declare_parameters_from_overrides=declared,
        )
        updater = Updater(node, period=3.0)
        sent = record(updater)
        updater.add(Heartbeat())
        updater.update()
        assert sent[-1].status[0].name == "/arm/talker: Heartbeat"
        assert updater.period == 0.25 and updater.timer.timer_period_ns == 250_000_000
        updater.period = 2.0
        assert updater.timer.timer_period_ns == 2_000_000_000 and len(list(node.timers)) == 1
        node.destroy_node()


def test_topic_diagnostics_add_themselves(node):
    updater = Updater(node)
    sent = record(updater)
    bounds = FrequencyStatusParam({"min": 1})
    headerless = HeaderlessTopicDiagnostic("force", updater, bounds)
    topic = TopicDiagnostic("wrench", updater, bounds, TimeStampStatusParam())
    headerless.tick()
    topic.tick(Time(seconds=1))
    updater.update()
    first, second = sent[-1].status
    assert (first.name, first.level) == ("talker: force topic status", OK)
    assert "too far in past" in second.message and second.level == ERROR
    headerless.clear_window()
    updater.update()
    assert sent[-1].status[0].message == "No events recorded."


def test_a_diagnosed_publisher_publishes_and_counts(node):
    updater = Updater(node)
    sent = record(updater)
    publisher = node.create_publisher(WrenchStamped, "wrench", 1)
    received = []
    publisher.publish = received.append
    diagnosed = DiagnosedPublisher(publisher, updater, FrequencyStatusParam({"min": 1}), TimeStampStatusParam())
    message = WrenchStamped()
    message.header.stamp = node.get_clock().now().to_msg()
    diagnosed.publish(message)
    updater.update()
    status = sent[-1].status[0]
    assert received == [message]
    assert (status.name, status.level) == ("talker: /arm/wrench topic status", OK)
