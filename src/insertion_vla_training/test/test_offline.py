"""Observations from a store equal those of the live node, and nothing from the future is in them."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from bag_rig import CONTRACT, START_NS
from episode_rig import INSTRUCTION, NS, TYPES, features, messages, write_episode
from insertion_vla_core.contract import parse_contract
from insertion_vla_core.observation import Entry, Missing, Observation, ObservationBuilder
from insertion_vla_core.stream_rows import rows_of
from insertion_vla_policy.feature_message import features_from_message
from insertion_vla_training.bags import BagReader, local_type
from insertion_vla_training.preprocess import preprocess
from insertion_vla_training.stores.offline import observations, regular_ticks, replay
from insertion_vla_training.stores.store import Store

SECONDS = 3.0


@pytest.fixture(scope="module")
def found():
    every = messages(SECONDS, seed=5)
    # Late, out of order and repeated, as networks make them.
    swapped = [i for i, (topic, _, _) in enumerate(every) if topic == "/joint_states"][50:60]
    every[swapped[0]], every[swapped[9]] = (
        (every[swapped[0]][0], every[swapped[0]][1], every[swapped[9]][2]),
        (every[swapped[9]][0], every[swapped[9]][1], every[swapped[0]][2]),
    )
    every.append((every[swapped[5]][0], every[swapped[5]][1] + 7_000_000, every[swapped[5]][2]))
    # The latched features are withdrawn for a moment, and come once for another instruction.
    at = START_NS + round(2.1 * NS)
    every.append(("/vlm/features", at, features(at, np.zeros((0, 0)))))
    every.append(("/vlm/features", at + 250_000_000, features(at - NS, np.ones((6, 8)), "the red one")))
    every.append(("/vlm/features", at + 450_000_000, features(at - NS // 2, np.ones((6, 8)))))
    return sorted(every, key=lambda entry: entry[1])


def stored(folder, found, name="episode_1"):
    bag = write_episode(folder / name, found)
    tally = preprocess([bag], folder / "store", 1)
    assert tally.problems == []
    return bag, Store.open(folder / "store")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, found):
    bag, store = stored(tmp_path_factory.mktemp("parity"), found)
    ticks = regular_ticks(store, store.episode("episode_1"))
    # Also ticks at the very moment of a receipt, just before it, and in the middle of nowhere.
    extra = [receive for _, receive, _ in found[500::97]]
    return bag, store, sorted({*ticks, *extra, *(t - 1 for t in extra), *(t + 3_333_333 for t in ticks)})


def assert_same(a, b):
    """Bit for bit, or missing for the same reason."""
    assert type(a) is type(b), (a, b)
    if isinstance(a, Missing):
        assert (a.stream, a.age_s) == (b.stream, b.age_s)
        return
    assert (a.stamp_ns, a.newest_ns, list(a.streams)) == (b.stamp_ns, b.newest_ns, list(b.streams))
    for name, left in a.streams.items():
        right = b.streams[name]
        if isinstance(left, Entry):
            assert left.stamp_ns == right.stamp_ns
            assert left.newest.tokens.tobytes() == right.newest.tokens.tobytes()
            assert {**vars(left.newest), "tokens": 0} == {**vars(right.newest), "tokens": 0}
        else:
            for field in ("stamps_ns", "values", "mask"):
                one, other = getattr(left, field), getattr(right, field)
                assert (one.dtype, one.shape) == (other.dtype, other.shape) and one.tobytes() == other.tobytes(), name


def test_the_store_gives_what_the_messages_gave_in_the_order_of_arrival(recorded):
    bag, store, ticks = recorded
    contract = parse_contract(CONTRACT, "test")
    builder, withdrawn, instruction = ObservationBuilder(contract), False, ""
    reader = BagReader(bag)
    coming = list(reader.messages())
    compared = 0
    for t_ns, offline in replay(store, store.episode("episode_1"), ticks):
        while coming and coming[0].receive_ns <= t_ns:
            message = coming.pop(0)
            for stream in contract.observations:
                if "/" + stream.topic != message.topic:
                    continue
                decoded = reader.decode(message)
                if stream.payload:
                    newest = features_from_message(decoded)
                    withdrawn = newest is None
                    if newest is not None:
                        instruction = newest.instruction
                        builder.push(stream.name, newest.stamp_ns, message.receive_ns, newest)
                else:
                    stamps, rows = rows_of(stream, decoded)
                    builder.extend(stream.name, stamps, message.receive_ns, rows)
        try:
            live = builder.build(t_ns)
        except Missing as missing:
            live = missing
        if isinstance(offline, Missing) and offline.max_age_s == 0.0:
            assert withdrawn or instruction != INSTRUCTION
            continue
        assert not withdrawn
        assert_same(live, offline)
        compared += isinstance(live, Observation)
    assert compared > 40


def test_the_store_gives_what_the_action_expert_node_sees(recorded):
    pytest.importorskip("rclpy")
    serialization = pytest.importorskip("rclpy.serialization")
    from insertion_vla.nodes.action_expert import ActionExpert, _by_topic, _message_class

    bag, store, ticks = recorded
    contract = parse_contract(CONTRACT, "test")
    now = [0]
    clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=now[0]))
    node = SimpleNamespace(
        _lock=threading.Lock(), _builder=ObservationBuilder(contract), _broken={}, _withdrawn="",
        _instruction_seen="", _permitted=lambda: None, get_clock=lambda: clock,
    )  # fmt: skip
    topics = {"/" + topic: streams for topic, streams in _by_topic(contract).items()}
    coming = list(BagReader(bag).messages(list(topics)))
    seen = 0
    for t_ns, offline in replay(store, store.episode("episode_1"), ticks):
        while coming and coming[0].receive_ns <= t_ns:
            message = coming.pop(0)
            now[0] = message.receive_ns
            streams = topics[message.topic]
            decoded = serialization.deserialize_message(message.data, _message_class(streams[0].type))
            if streams[0].payload:
                ActionExpert._on_features(node, decoded)
            else:
                ActionExpert._on_rows(node, streams, decoded)
        now[0] = t_ns
        try:
            live = ActionExpert._observe(node, INSTRUCTION)
        except Missing as missing:
            live = missing
        assert_same(live, offline)
        seen += isinstance(live, Observation)
    assert seen > 40 and node._broken == {}


def test_a_spike_in_the_future_is_seen_by_no_window(tmp_path, found):
    """Spikes measured, or received, after a tick: everything up to the tick is as without them."""
    tick = START_NS + round(1.75 * NS)
    _, plain = stored(tmp_path / "plain", found)

    def spiked(topic, receive_ns, data):
        kind = local_type(TYPES[topic])
        message = kind.decode(data)
        if topic == "/joint_states":
            changes = {"position": np.full(6, 1e6)}
        elif topic == "/force/samples":
            changes = {"force": np.full(10, 1e6, np.float32), "alines": message.alines[::-1].copy()}
        elif topic == "/tool_pose":
            point = type(message.pose.position)(x=1e6, y=1e6, z=1e6)
            changes = {"pose": type(message.pose)(position=point, orientation=message.pose.orientation)}
        else:
            return topic, receive_ns, features(receive_ns - NS // 5, np.full((6, 8), 1e6)) if "vlm" in topic else data
        return topic, receive_ns, kind.encode(type(message)(**{**vars(message), **changes}))

    later = [spiked(*entry) if entry[1] > tick else entry for entry in found]
    _, planted = stored(tmp_path / "planted", later)
    episodes = [store.episode("episode_1") for store in (plain, planted)]
    ticks = [t for t in regular_ticks(plain, episodes[0]) if t <= tick] + [tick]
    pairs = zip(replay(plain, episodes[0], ticks), replay(planted, episodes[1], ticks), strict=True)
    seen = 0
    for (_, left), (_, right) in pairs:
        assert_same(left, right)
        seen += isinstance(left, Observation)
    assert seen > 5
    # And the spike is there for those who look later.
    after = list(observations(planted, episodes[1], [tick + NS // 10]))[0]
    assert after.streams["joints"].values.max() == 1e6 and after.streams["force"].values[-1, 0] == np.float32(1e6)


def test_observations_leave_out_ticks_without_data_and_refuse_ticks_that_go_back(recorded):
    _, store, _ = recorded
    episode = store.episode("episode_1")
    ticks = regular_ticks(store, episode)
    assert len(ticks) == pytest.approx(SECONDS * 10, abs=5)
    seen = list(observations(store, episode, ticks))
    assert 0 < len(seen) < len(ticks) and [o.stamp_ns for o in seen] == sorted(o.stamp_ns for o in seen)
    with pytest.raises(ValueError, match="expected rising ticks"):
        list(replay(store, episode, [ticks[3], ticks[2]]))
