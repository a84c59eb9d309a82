"""Does every topic keep the rate that the contract promises? Counted by message, judged while it runs and after.

The recorder node and the writers without ROS use the same audit. Times are receive times [ns], on one clock.

What is judged: the rate, the longest gap, and what is known to be lost. Features and actions come only while a goal
runs, so theirs are judged from their first message to their last one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from insertion_vla_core.contract import Contract
from insertion_vla_core.episode_metadata import StreamRate

LEAST_SHARE = 0.95  # of the promised rate
MOST_LOST = 0.01  # share of what should have come
GAP_PERIODS = 5.0
GAP_AGES = 2.0  # times max_age_s: the policy had to wait for as long again as it may at most
LATE_BY = 50  # messages that one may come after its followers; farther back, its sender was restarted
WINDOW_S = 3.0  # what `late` looks back on
NS = 1_000_000_000


@dataclass(frozen=True)
class Promise:
    """What a contract says of one topic.

    Attributes:
        rate_hz: of messages, or of the rows in them where a message is a block of rows.
        longest_gap_s: a longer silence is one too many.
        required: it is an episode of no use without it.
        on_demand: it comes only while a goal runs.
        rows: what is counted, for people.
    """

    rate_hz: float
    longest_gap_s: float
    required: bool = True
    on_demand: bool = False
    rows: str = "messages"


def promises(contract: Contract) -> dict[str, Promise]:
    """The promise of every topic of a contract, by its relative name."""
    result: dict[str, Promise] = {}
    for stream in sorted(contract.observations, key=lambda stream: stream.rate_hz):
        # Where two observations share a topic, the faster one counts its rows; it is needed if one of them is.
        needed = not (stream.optional or stream.payload) or (stream.topic in result and result[stream.topic].required)
        rows = "samples" if stream.type.endswith("/ForceSamples") else "messages"
        result[stream.topic] = Promise(
            stream.rate_hz, _gap_s(stream.rate_hz, stream.max_age_s), needed, stream.payload, rows
        )
    for image in contract.images:
        result[image.topic] = Promise(image.rate_hz, _gap_s(image.rate_hz, image.max_age_s), not image.optional)
    action_hz = 1.0 / contract.action.dt_s
    needed = not contract.action.optional
    result[contract.action.topic] = Promise(action_hz, _gap_s(action_hz, 0.0), needed, on_demand=True)
    return result


def _gap_s(rate_hz: float, max_age_s: float) -> float:
    return max(GAP_PERIODS / rate_hz, GAP_AGES * max_age_s)


@dataclass
class _Numbers:
    """Numbers that a sender counts up; what it counted and never came is lost, in whatever order the rest came."""

    came: int = 0
    lost_before: int = 0  # by a sender before it was restarted
    first: int | None = None
    highest: int = 0

    def restarted(self, number: int, slack: int) -> bool:
        """Whether a number is too far back to be only late: its sender began anew."""
        return number < self.highest - slack

    def add(self, number: int, amount: int, anew: bool) -> None:
        """Up to `number`, of which `amount` came now; `anew`: of a restarted sender."""
        if self.first is None or anew:
            self.lost_before = self.lost
            self.first, self.came, self.highest = number - amount, 0, number
        self.came += amount
        self.highest = max(self.highest, number)

    @property
    def lost(self) -> int:
        return self.lost_before + (0 if self.first is None else max(0, self.highest - self.first - self.came))


@dataclass
class _Count:
    """What came of one topic."""

    messages: int = 0
    rows: int = 0
    dropped: int = 0  # by the recorder itself
    first_rows: int = 0  # in the first message
    first_ns: int = 0
    last_ns: int = 0
    longest_gap_ns: int = 0
    sent: _Numbers = field(default_factory=_Numbers)
    missed: _Numbers = field(default_factory=_Numbers)  # by the sender of blocks

    @property
    def lost(self) -> int:
        return self.dropped + self.sent.lost + self.missed.lost


@dataclass(frozen=True)
class Verdict:
    """The audit of an episode: a row per topic, and a sentence for each promise that was not kept."""

    rates: tuple[StreamRate, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass
class RateAudit:
    """Counts what arrives in one episode.

    Attributes:
        contract: what was promised.
        start_ns: when the episode began.
        topics: others that are recorded, without a promise; a topic that is not named here is added when it comes.
    """

    contract: Contract
    start_ns: int
    topics: Iterable[str] = ()
    _counts: dict[str, _Count] = field(default_factory=dict)
    _marks: deque[tuple[int, dict[str, int]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._promises = promises(self.contract)
        self._counts = {topic: _Count() for topic in (*self._promises, *self.topics)}
        self._marks.append((self.start_ns, {}))

    def add(self, topic: str, receive_ns: int, rows: int = 1, sequence: int | None = None) -> None:
        """Count one message.

        Args:
            topic: its relative name.
            receive_ns: when it arrived.
            rows: samples in it.
            sequence: number of its publisher, rising by one, where there is one publisher; what it skips is lost.
        """
        count = self._counts.setdefault(topic, _Count())
        if count.messages == 0:
            count.first_ns, count.first_rows = receive_ns, rows
        else:
            count.longest_gap_ns = max(count.longest_gap_ns, receive_ns - count.last_ns)
        if sequence is not None:
            count.sent.add(sequence, 1, count.sent.restarted(sequence, LATE_BY))
        count.messages += 1
        count.rows += rows
        count.last_ns = receive_ns

    def add_block(self, topic: str, receive_ns: int, message: Any) -> None:
        """Count a block of samples (ForceSamples of any reader), with what its sender counts itself."""
        count = self._counts.setdefault(topic, _Count())
        rows, received = len(message.stamps), int(message.received)
        self.add(topic, receive_ns, rows)
        restarted = count.sent.restarted(received, LATE_BY * rows)
        count.sent.add(received, rows, restarted)
        count.missed.add(int(message.lost), 0, restarted)

    def lose(self, topic: str, rows: int = 1) -> None:
        """Count what arrived and could not be kept."""
        self._counts.setdefault(topic, _Count()).dropped += rows

    def late(self, now_ns: int) -> list[str]:
        """What misses its promise just now, one sentence each; to be asked about twice a second."""
        while len(self._marks) > 1 and now_ns - self._marks[1][0] >= WINDOW_S * NS:
            self._marks.popleft()
        since_ns, before = self._marks[0]
        self._marks.append((now_ns, {topic: count.rows for topic, count in self._counts.items()}))
        sentences = []
        for topic, promise in self._promises.items():
            count = self._counts[topic]
            from_ns = since_ns
            if promise.on_demand:
                # Only while it comes: without a goal there is none.
                if count.messages == 0 or now_ns - count.last_ns > promise.longest_gap_s * NS:
                    continue
                from_ns = max(since_ns, count.first_ns)
            elif not promise.required:
                continue
            span_s = (now_ns - from_ns) / NS
            rows = count.rows - before.get(topic, 0)
            if span_s <= promise.longest_gap_s:
                continue
            if rows == 0:
                sentences.append(f"{topic}: nothing for {(now_ns - (count.last_ns or self.start_ns)) / NS:.1f} s")
            elif sentence := _too_slow(promise, count, rows, span_s):
                sentences.append(f"{topic}: {sentence}")
        return sentences

    def verdict(self, end_ns: int) -> Verdict:
        """The judgement of an episode that ended at `end_ns`."""
        rates, reasons = [], []
        for topic, count in self._counts.items():
            rate, wrong = self._judge(topic, count, end_ns)
            rates.append(rate)
            if wrong:
                reasons.append(f"{topic}: {', '.join(wrong)}")
        return Verdict(tuple(rates), tuple(reasons))

    def _judge(self, topic: str, count: _Count, end_ns: int) -> tuple[StreamRate, list[str]]:
        promise = self._promises.get(topic)
        if promise is not None and promise.on_demand and count.messages > 1:
            # From the first message to the last one there is one interval fewer than messages.
            span_s, rows, gap_ns = (count.last_ns - count.first_ns) / NS, count.rows - count.first_rows, 0
        else:
            span_s, rows, gap_ns = (end_ns - self.start_ns) / NS, count.rows, self._edge_gap_ns(count, end_ns)
        rate_hz = max(0.0, rows / span_s) if span_s > 0 else 0.0
        gap_s = max(0, gap_ns, count.longest_gap_ns) / NS
        wrong = [] if promise is None else _broken(promise, count, rows, span_s, gap_s)
        rate = StreamRate(
            topic=topic,
            expected_hz=promise.rate_hz if promise else 0.0,
            measured_hz=round(rate_hz, 3),
            messages=count.messages,
            lost=count.lost,
            longest_gap_s=round(gap_s, 4),
            ok=not wrong,
        )
        return rate, wrong

    def _edge_gap_ns(self, count: _Count, end_ns: int) -> int:
        if count.messages == 0:
            return end_ns - self.start_ns
        return max(count.first_ns - self.start_ns, end_ns - count.last_ns)


def _broken(promise: Promise, count: _Count, rows: int, span_s: float, gap_s: float) -> list[str]:
    """In which ways a promise was not kept."""
    if count.messages == 0:
        return ["no message: start its node before recording"] if promise.required else []
    wrong = []
    if sentence := _too_slow(promise, count, rows, span_s):
        wrong.append(sentence)
    if count.lost > MOST_LOST * (count.rows + count.lost):
        wrong.append(f"{count.lost} of {count.rows + count.lost} {promise.rows} lost")
    if gap_s > promise.longest_gap_s:
        wrong.append(f"nothing for {gap_s:.2f} s (at most {promise.longest_gap_s:.2f} s may pass)")
    return wrong


def _too_slow(promise: Promise, count: _Count, rows: int, span_s: float) -> str:
    block = count.rows / count.messages  # the ends of the span may cut one message off
    if rows + block >= LEAST_SHARE * promise.rate_hz * span_s:
        return ""
    return f"{rows / span_s:.1f} instead of {promise.rate_hz:g} {promise.rows} per second"
