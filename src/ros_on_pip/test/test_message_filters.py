"""Pairing by time, remembering and chaining of messages."""

import random
from types import SimpleNamespace

import pytest
from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import WrenchStamped
from message_filters import ApproximateTimeSynchronizer, Cache, Chain, SimpleFilter, Subscriber, TimeSynchronizer
from message_filters.delta_filter import ComparisonFilter, DeltaFilter, PathDeltaFilter
from rclpy.time import Time
from std_msgs.msg import ColorRGBA, Int32, String


def stamped(seconds, data=0):
    """A mock message with a header."""
    stamp = TimeMsg(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), data=data)


def collect(source):
    out = []
    source.registerCallback(lambda *messages: out.append(messages))
    return out


def two_inputs(synchronizer, *args, **kwargs):
    a, b = SimpleFilter(), SimpleFilter()
    return a, b, collect(synchronizer([a, b], *args, **kwargs))


def test_a_filter_calls_back_with_extra_arguments_and_can_forget():
    source, out = SimpleFilter(), []
    first = source.registerCallback(lambda *args: out.append(args), "extra", 2)
    second = source.registerCallback(lambda *args: out.append(args))
    source.signalMessage("a")
    source.unregisterCallback(first)
    source.unregisterCallback(99)
    third = source.registerCallback(lambda *args: None)
    source.signalMessage("b")
    assert out == [("a", "extra", 2), ("a",), ("b",)]
    assert third not in (second,)


def test_equal_times_are_paired_in_any_order_of_arrival():
    a, b, out = two_inputs(TimeSynchronizer, 10)
    left, right = [stamped(t) for t in range(5)], [stamped(t) for t in range(5)]
    for message in left:
        a.signalMessage(message)
    assert out == []
    for message in right:
        b.signalMessage(message)
    assert out == list(zip(left, right, strict=True))


def test_a_set_makes_older_messages_useless():
    a, b, out = two_inputs(TimeSynchronizer, 10)
    old_a, old_b, new_a, new_b = stamped(0), stamped(0), stamped(1), stamped(1)
    a.signalMessage(old_a)
    b.signalMessage(new_b)
    a.signalMessage(new_a)
    assert out == [(new_a, new_b)]
    b.signalMessage(old_b)
    assert out == [(new_a, new_b)]


def test_the_queue_drops_the_oldest():
    a, b, out = two_inputs(TimeSynchronizer, 2)
    for t in range(3):
        a.signalMessage(stamped(t))
    b.signalMessage(stamped(0))
    assert out == []
    b.signalMessage(stamped(1))
    assert len(out) == 1


def test_a_callback_may_feed_the_synchronizer():
    a, b = SimpleFilter(), SimpleFilter()
    sync, out = TimeSynchronizer([a, b], 5), []

    def again(left, right):
        out.append(left.header.stamp.sec)
        if left.header.stamp.sec < 3:
            a.signalMessage(stamped(left.header.stamp.sec + 1))
            b.signalMessage(stamped(left.header.stamp.sec + 1))

    sync.registerCallback(again)
    a.signalMessage(stamped(0))
    b.signalMessage(stamped(0))
    assert out == [0, 1, 2, 3]


def test_a_message_without_time_is_refused():
    a, _, _ = two_inputs(TimeSynchronizer, 5)
    with pytest.raises(ValueError, match="header.stamp"):
        a.signalMessage(SimpleNamespace(data=1))


@pytest.mark.parametrize("count", range(1, 10))
def test_scrambled_sequences_are_recombined(count):
    a, b, out = two_inputs(ApproximateTimeSynchronizer, count, 0.1)
    left, right = [stamped(t, 1) for t in range(count)], [stamped(t, 2) for t in range(count)]
    random.seed(count)
    for message in random.sample(left, count):
        a.signalMessage(message)
    for message in random.sample(right, count):
        b.signalMessage(message)
    key = lambda pair: pair[0].header.stamp.sec  # noqa: E731
    assert sorted(out, key=key) == list(zip(left, right, strict=True))


def test_the_nearest_message_within_the_slop_is_taken_once():
    a, b, out = two_inputs(ApproximateTimeSynchronizer, 10, 0.1)
    near, far = stamped(1.02), stamped(0.95)
    a.signalMessage(far)
    a.signalMessage(near)
    first, second, third = stamped(1.0), stamped(1.01), stamped(1.02)
    b.signalMessage(first)
    assert out == [(near, first)]
    b.signalMessage(second)
    assert out == [(near, first), (far, second)]
    b.signalMessage(third)
    assert len(out) == 2


def test_times_beyond_the_slop_are_not_paired():
    a, b, out = two_inputs(ApproximateTimeSynchronizer, 10, 0.1)
    a.signalMessage(stamped(1.0))
    b.signalMessage(stamped(1.2))
    assert out == []


def test_three_inputs_lie_within_the_slop_together():
    inputs = [SimpleFilter() for _ in range(3)]
    out = collect(ApproximateTimeSynchronizer(inputs, 10, 0.1))
    early, late, middle = stamped(0.92), stamped(1.08), stamped(1.0)
    inputs[0].signalMessage(early)
    inputs[1].signalMessage(late)
    inputs[2].signalMessage(middle)
    assert out == []  # each is near the middle one, but the set spans 0.16 s
    fitting = stamped(0.94)
    inputs[1].signalMessage(fitting)
    assert out == [(early, fitting, middle)]


def test_headerless_messages_need_permission():
    a, b, out = two_inputs(ApproximateTimeSynchronizer, 10, 1.0)
    a.signalMessage(String())
    b.signalMessage(String())
    assert out == []
    a, b, out = two_inputs(ApproximateTimeSynchronizer, 10, 1.0, allow_headerless=True)
    a.signalMessage(String())
    b.signalMessage(String())
    assert len(out) == 1


def test_arrival_time_overrides_headers():
    a, b, out = two_inputs(ApproximateTimeSynchronizer, 10, 1.0, sync_arrival_time=True)
    a.signalMessage(stamped(1))
    b.signalMessage(stamped(1000))
    assert len(out) == 1


def test_a_time_getter_replaces_the_header():
    getter = lambda message: Time(seconds=message.data)  # noqa: E731
    a, b, out = two_inputs(TimeSynchronizer, 5, time_getter=getter)
    a.signalMessage(Int32(data=7))
    b.signalMessage(Int32(data=7))
    assert len(out) == 1


def test_cache_answers_by_time():
    source = SimpleFilter()
    cache = Cache(source, 5)
    assert cache.getLast() is None and cache.getOldestTime() is None and cache.getLastestTime() is None
    messages = [stamped(t) for t in range(6)]
    for message in messages:
        source.signalMessage(message)
    # Times from messages are ROS time, whatever the clock of the query would be.
    at = lambda seconds: Time.from_msg(stamped(seconds).header.stamp)  # noqa: E731
    assert cache.getOldestTime() == at(1) and cache.getLastestTime() == at(5)
    assert cache.getInterval(at(2), at(3)) == messages[2:4]
    assert cache.getInterval(at(2.5), at(3.5)) == [messages[3]]
    assert cache.getElemAfterTime(at(2.5)) is messages[3]
    assert cache.getElemBeforeTime(at(2.5)) is messages[2]
    assert cache.getElemAfterTime(at(9)) is None and cache.getElemBeforeTime(at(0)) is None
    assert cache.getLast() is messages[5]


def test_cache_drops_headerless_unless_allowed():
    source = SimpleFilter()
    strict, lenient = Cache(source, 5), Cache(source, 5, allow_headerless=True)
    source.signalMessage(String())
    assert strict.getLast() is None and isinstance(lenient.getLast(), String)


def test_chain_runs_through_its_filters():
    source = SimpleFilter()
    chain, out = Chain(source), []
    chain.registerCallback(out.append)
    source.signalMessage("through")
    first, second = Cache(SimpleFilter(), 3), Cache(SimpleFilter(), 3)
    assert (chain.addFilter(first), chain.addFilter(second)) == (0, 1)
    message = stamped(1)
    source.signalMessage(message)
    assert out == ["through", message]
    assert first.getLast() is message and second.getLast() is message
    assert chain.getFilter(1) is second
    with pytest.raises(KeyError):
        chain.getFilter(2)
    with pytest.raises(RuntimeError, match="connected"):
        chain.connectInput(source)


def test_delta_filter_passes_changes_only():
    by_getter, by_path = DeltaFilter([lambda m: m.r, lambda m: m.g]), PathDeltaFilter(["r", "g"])
    for delta in (by_getter, by_path):
        out = collect(delta)
        for r, g, b in ((0.0, 0.0, 0.0), (0.0, 0.0, 5.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 2.0, 0.0)):
            delta.add(ColorRGBA(r=r, g=g, b=b))
        assert [(m.r, m.g) for (m,) in out] == [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0)]
    with pytest.raises(RuntimeError, match="no field 'x'"):
        PathDeltaFilter.get_field_by_path(ColorRGBA(), "r.x")
    with pytest.raises(TypeError, match="bool, int, float or str"):
        unsuitable = DeltaFilter([lambda m: m])
        unsuitable.add(ColorRGBA())
        unsuitable.add(ColorRGBA())


def test_comparison_filter_asks_its_handler_and_takes_one_input():
    source = SimpleFilter()
    gate = ComparisonFilter(SimpleNamespace(message_fits=lambda message: message > 1), source)
    out = collect(gate)
    for value in (1, 2, 0, 3):
        source.signalMessage(value)
    assert out == [(2,), (3,)]
    with pytest.raises(RuntimeError, match="already"):
        gate.connectInput(source)


def test_subscriber_passes_its_arguments_to_rclpy():
    asked = {}

    def create_subscription(message_type, topic, callback, qos_profile=None, **kwargs):
        asked.update(message_type=message_type, topic=topic, callback=callback, qos=qos_profile, **kwargs)
        return SimpleNamespace(get_publisher_count=lambda: 3)

    node = SimpleNamespace(create_subscription=create_subscription)
    subscriber = Subscriber(node, WrenchStamped, "force", qos_profile=5, raw=True)
    out = collect(subscriber)
    asked["callback"]("message")
    assert out == [("message",)]
    assert (asked["topic"], asked["qos"], asked["raw"]) == ("force", 5, True)
    assert subscriber.getTopic() == "force" and subscriber.get_publisher_count() == 3
    Subscriber(node, WrenchStamped, "force")
    assert asked["qos"] == 10
    Subscriber(node, WrenchStamped, "force", 7)
    assert asked["qos"] == 7
