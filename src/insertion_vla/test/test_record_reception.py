"""Messages arrive as they were sent, with the time of their arrival; what was too much is seen by its number."""

import threading
import time
from pathlib import Path

from ros_graph import open_graph  # isort: skip  (sets the environment before rclpy is imported)
from insertion_vla.record_reception import DEPTH, Received, Reception, fitting
from insertion_vla_core.contract import load_contract
from insertion_vla_core.rate_audit import RateAudit
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from std_msgs.msg import UInt32

from insertion_vla import qos

DOMAIN = 62
CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml")
TOO_MANY = 600


class Ear:
    """Takes what a reception hands over; `hold` stops it in the middle."""

    def __init__(self) -> None:
        self.came: list[Received] = []
        self.held, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self._changed = threading.Condition()

    def __call__(self, messages: list[Received]) -> None:
        with self._changed:
            self.came += messages
            self._changed.notify_all()
        self.held.set()
        assert self.go_on.wait(20.0)

    def wait_last(self, value: int) -> None:
        with self._changed:
            good = self._changed.wait_for(lambda: self.came and number(self.came[-1]) == value, 20.0)
        assert good, [number(message) for message in self.came[-3:]]


def number(message: Received) -> int:
    return deserialize_message(message.data, UInt32).data


def test_everything_comes_once_in_order_and_what_overflows_is_known_to_be_lost():
    with open_graph(DOMAIN) as graph:
        ear = Ear()
        publisher = graph.call(lambda: graph.node.create_publisher(UInt32, "numbers", qos.reliable(DEPTH)))
        topic = publisher.topic_name
        reception = Reception(graph.node, ear)
        try:
            graph.call(lambda: reception.add(topic, UInt32, fitting([publisher.qos_profile])))
            deadline_s = time.monotonic() + 10.0
            while topic not in reception._numbered:
                assert time.monotonic() < deadline_s
                graph.call(reception.look)
            for k in range(100):
                publisher.publish(UInt32(data=k))
            ear.wait_last(99)
            assert [number(message) for message in ear.came] == list(range(100))
            now_ns = time.time_ns()
            assert all(0 <= now_ns - message.receive_ns < 10**10 for message in ear.came)
            ear.go_on.clear()  # from here on nothing is taken
            ear.held.clear()
            publisher.publish(UInt32(data=100))
            assert ear.held.wait(10.0)
            for k in range(101, 101 + DEPTH + TOO_MANY):
                publisher.publish(UInt32(data=k))
            ear.go_on.set()
            ear.wait_last(100 + DEPTH + TOO_MANY)
            audit = RateAudit(CONTRACT, ear.came[0].receive_ns)
            for message in ear.came:
                audit.add("numbers", message.receive_ns, sequence=message.sequence)
            rates = {rate.topic: rate for rate in audit.verdict(ear.came[-1].receive_ns).rates}
            came = rates["numbers"].messages
            assert came < 101 + DEPTH + TOO_MANY, "the test shall lose some"
            assert rates["numbers"].lost == 101 + DEPTH + TOO_MANY - came
        finally:
            ear.go_on.set()
            graph.call(reception.close)


def test_a_subscription_asks_for_no_more_than_every_publisher_offers():
    best = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    assert fitting([qos.reliable(1), qos.reliable(5)]).reliability == ReliabilityPolicy.RELIABLE
    assert fitting([qos.reliable(1), best]).reliability == ReliabilityPolicy.BEST_EFFORT
    assert fitting([qos.latched(), qos.latched()]).durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert fitting([qos.latched(), qos.reliable(1)]).durability == DurabilityPolicy.VOLATILE
