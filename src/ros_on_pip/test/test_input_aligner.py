"""Several streams in one order of time."""

from types import SimpleNamespace

import pytest
from message_filters import SimpleFilter
from message_filters.input_aligner import InputAligner, QueueStatus
from rclpy.duration import Duration
from rclpy.time import Time

MS = 1_000_000


def at(milliseconds):
    return SimpleNamespace(
        header=SimpleNamespace(stamp=Time(nanoseconds=milliseconds * MS).to_msg()), data=milliseconds
    )


def aligner(inputs, timeout_ms=1000, period_ms=2):
    made = InputAligner(Duration(nanoseconds=timeout_ms * MS), filters=[SimpleFilter() for _ in range(inputs)])
    out = []
    for index in range(inputs):
        made.registerCallback(index, lambda message: out.append(message.data))
        if period_ms:
            made.setInputPeriod(index, Duration(nanoseconds=period_ms * MS))
    return made, out


def feed(made, *pairs):
    for milliseconds, index in pairs:
        made.add(at(milliseconds), index)
    made.dispatchMessages()


def test_messages_of_all_inputs_come_in_order_of_time():
    made, out = aligner(4, period_ms=4)
    feed(made, (3, 2), (1, 0), (7, 2), (5, 0), (2, 3), (9, 0), (9, 0), (4, 1), (8, 1), (6, 3))
    assert out == [1, 2, 3, 4, 5, 6, 7, 8, 9, 9]


def test_nobody_waits_for_an_input_that_never_spoke():
    made, out = aligner(3)
    feed(made, (2, 2), (1, 1), (4, 2), (3, 1), (5, 1))
    assert out == [1, 2, 3, 4, 5]


def test_a_silent_input_is_given_up_after_the_timeout():
    made, out = aligner(2, timeout_ms=10)
    feed(made, *[(t, 0) for t in range(1, 17, 2)], (2, 1), (4, 1))
    assert out == [1, 2, 3, 4, 5]
    feed(made, (17, 0))
    assert out == [1, 2, 3, 4, 5, 7, 9, 11, 13, 15, 17]


def test_late_messages_are_dropped_and_counted():
    made, out = aligner(2)
    feed(made, (4, 1), (3, 0))
    feed(made, (1, 0), (5, 0), (7, 0), (2, 1), (6, 1))
    assert out == [3, 4, 5, 6, 7]
    assert made.getQueueStatus(0) == QueueStatus(active=True, queue_size=0, msgs_processed=3, msgs_dropped=1)


def test_without_a_period_every_input_is_waited_for():
    made, out = aligner(3, timeout_ms=10, period_ms=0)
    feed(made, (6, 0), (2, 2), (4, 2), (1, 1), (3, 1), (5, 1))
    assert out == [1, 2, 3, 4]
    feed(made, (16, 0))
    assert out == [1, 2, 3, 4, 5, 6, 16]


def test_connecting_again_replaces_inputs_and_callbacks():
    a, b, c = SimpleFilter(), SimpleFilter(), SimpleFilter()
    made = InputAligner(Duration(seconds=1), a, b, c)
    stale, fresh = [], []
    made.registerCallback(0, lambda message: stale.append(message.data))
    made.connectInput(a, b)
    for index in range(2):
        made.registerCallback(index, lambda message: fresh.append(message.data))
        made.setInputPeriod(index, Duration(nanoseconds=2 * MS))
    for source, milliseconds in ((c, 1), (a, 2), (b, 3)):
        source.signalMessage(at(milliseconds))
    made.dispatchMessages()
    assert (stale, fresh) == ([], [2, 3])
    made.disconnectAll()
    a.signalMessage(at(9))
    assert made.getQueueStatus(0).queue_size == 0
    with pytest.raises(IndexError):
        made.getQueueStatus(2)


def test_a_timer_of_the_node_dispatches():
    made, out = aligner(1)
    timers = []
    made.setupDispatchTimer(
        SimpleNamespace(create_timer=lambda period_s, callback: timers.append((period_s, callback))),
        Duration(nanoseconds=10 * MS),
    )
    made.add(at(1), 0)
    (period_s, callback) = timers[0]
    callback()
    assert (period_s, out) == (0.01, [1])
