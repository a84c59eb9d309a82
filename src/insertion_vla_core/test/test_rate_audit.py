"""An episode is bad when, and only when, a topic breaks what the contract promises of it; the sentence names it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_core.contract import load_contract
from insertion_vla_core.rate_audit import RateAudit, promises

CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml")
NS = 1_000_000_000
START = 1_700_000_000 * NS
RATES = {
    "joint_states": 100.0,
    "tool_pose": 100.0,
    "force/samples": 65.0,
    "vlm/features": 2.6,
    "action_expert/chunk": 10.0,
    "front/image_raw/compressed": 5.0,
    "side/image_raw/compressed": 5.0,
    "hand/image_raw/compressed": 5.0,
}


def stamps(rate_hz: float, seconds: float, first_s: float = 0.0) -> list[int]:
    return [START + round((first_s + k / rate_hz) * NS) for k in range(int((seconds - first_s) * rate_hz))]


def block(number: int, lost: int = 0, rows: int = 10) -> SimpleNamespace:
    return SimpleNamespace(stamps=[0] * rows, received=10_000 + (number + 1) * rows, lost=lost)


def recorded(seconds: float = 10.0, without: str = "", rates: dict[str, float] | None = None) -> RateAudit:
    """An audit of an episode in which everything keeps its promise, but for what is asked otherwise."""
    audit = RateAudit(CONTRACT, START, ["task/state"])
    for topic, rate in {**RATES, **(rates or {})}.items():
        if topic == without:
            continue
        for number, ns in enumerate(stamps(rate, seconds)):
            if topic == "force/samples":
                audit.add_block(topic, ns, block(number))
            else:
                audit.add(topic, ns, sequence=number)
    return audit


def judged(audit: RateAudit, seconds: float = 10.0):
    verdict = audit.verdict(START + round(seconds * NS))
    return {rate.topic: rate for rate in verdict.rates}, verdict.reasons


def test_the_contract_promises_samples_of_the_force_and_chunks_while_a_goal_runs():
    found = promises(CONTRACT)
    assert found.keys() == RATES.keys()
    assert found["force/samples"].rate_hz == 650.0 and found["force/samples"].required
    assert found["action_expert/chunk"].rate_hz == pytest.approx(10.0) and found["action_expert/chunk"].on_demand
    assert not found["vlm/features"].required


def test_a_good_episode_is_good_and_every_topic_is_listed():
    rates, reasons = judged(recorded())
    assert reasons == ()
    assert set(rates) == {*RATES, "task/state"}
    assert all(rate.ok for rate in rates.values())
    force = rates["force/samples"]
    assert (force.expected_hz, force.messages, force.lost) == (650.0, 650, 0)
    assert force.measured_hz == pytest.approx(650.0)
    assert rates["task/state"].expected_hz == 0.0


@settings(deadline=None, max_examples=50)
@given(st.floats(0.3, 30.0), st.sampled_from(sorted(RATES)))
def test_the_ends_of_an_episode_never_make_it_bad(seconds, topic):
    audit = RateAudit(CONTRACT, START)
    for ns in stamps(RATES[topic], seconds):
        audit.add(topic, ns, rows=10 if topic == "force/samples" else 1)
    _, reasons = judged(audit, seconds)
    assert not [reason for reason in reasons if reason.startswith(topic) and "no message" not in reason]


@pytest.mark.parametrize("topic", sorted(set(RATES) - {"vlm/features"}))
def test_a_topic_that_never_came_is_named(topic):
    rates, reasons = judged(recorded(without=topic))
    assert len(reasons) == 1 and reasons[0].startswith(topic) and "start its node" in reasons[0]
    assert not rates[topic].ok and rates[topic].messages == 0


def test_features_may_be_absent_but_not_slow():
    assert judged(recorded(without="vlm/features"))[1] == ()
    assert "1.5 instead of 2.6" in judged(recorded(rates={"vlm/features": 1.5}))[1][0]


def test_chunks_are_judged_from_the_first_to_the_last():
    audit = recorded(without="action_expert/chunk")
    for ns in stamps(10.0, 7.0, first_s=4.0):
        audit.add("action_expert/chunk", ns)
    rates, reasons = judged(audit)
    assert reasons == () and rates["action_expert/chunk"].measured_hz == pytest.approx(10.0)
    assert "instead of 10" in judged(recorded(rates={"action_expert/chunk": 8.0}))[1][0]


@pytest.mark.parametrize("topic", ["joint_states", "force/samples", "hand/image_raw/compressed"])
def test_nine_tenths_of_a_rate_are_too_little(topic):
    rates, reasons = judged(recorded(rates={topic: RATES[topic] * 0.9}))
    assert len(reasons) == 1 and reasons[0].startswith(topic) and "instead of" in reasons[0]
    assert [rate.topic for rate in rates.values() if not rate.ok] == [topic]


@pytest.mark.parametrize(("first_s", "last_s"), [(3.0, 10.0), (0.0, 7.0)])
def test_silence_at_either_end_is_a_gap(first_s, last_s):
    audit = recorded(without="joint_states")
    for ns in stamps(130.0, last_s, first_s):
        audit.add("joint_states", ns)
    rates, reasons = judged(audit)
    assert rates["joint_states"].longest_gap_s == pytest.approx(3.0, abs=0.02)
    assert "nothing for 3.0" in reasons[0]


def test_what_the_publisher_numbered_and_never_came_is_lost():
    audit = recorded(without="joint_states")
    for number, ns in enumerate(stamps(100.0, 10.0)):
        if number % 50:
            audit.add("joint_states", ns, sequence=number)
    rates, reasons = judged(audit)
    assert rates["joint_states"].lost == 19  # what came before the first message is not known
    assert "19 of 999 messages lost" in reasons[0]


def test_one_lost_message_is_told_and_makes_no_episode_bad():
    audit = recorded()
    audit.lose("joint_states")
    rates, reasons = judged(audit)
    assert rates["joint_states"].lost == 1 and reasons == ()


def force_only(blocks: list[SimpleNamespace]) -> int:
    audit = RateAudit(CONTRACT, START)
    for number, message in enumerate(blocks):
        audit.add_block("force/samples", START + number * NS // 65, message)
    return judged(audit)[0]["force/samples"].lost


def test_samples_lost_before_the_sensor_node_and_blocks_lost_behind_it_are_counted():
    assert force_only([block(k) for k in range(100)]) == 0
    assert force_only([block(k, lost=3 * k) for k in range(100)]) == 297
    assert force_only([block(k) for k in range(100) if k % 10 != 5]) == 100


def test_what_comes_late_is_not_lost():
    blocks = [block(k, lost=k) for k in range(100)]
    blocks[20:24] = blocks[23:19:-1]
    assert force_only(blocks) == 99
    del blocks[21]
    assert force_only(blocks) == 109
    audit = RateAudit(CONTRACT, START)
    for number in (1, 2, 5, 3, 4, 6, 8):
        audit.add("joint_states", START + number, sequence=number)
    assert judged(audit)[0]["joint_states"].lost == 1


def test_losses_before_the_episode_and_a_restarted_sensor_node_are_not_counted():
    assert force_only([block(k, lost=500) for k in range(100)]) == 0
    restarted = [SimpleNamespace(stamps=[0] * 10, received=10 * k, lost=0) for k in range(1, 50)]
    assert force_only([*[block(k, lost=500 + k) for k in range(11)], *restarted]) == 10


def test_a_live_warning_comes_while_it_still_helps_and_goes_away():
    audit = RateAudit(CONTRACT, START)
    told: dict[float, list[str]] = {}
    due = sorted((ns, topic) for topic, rate in RATES.items() for ns in stamps(rate, 20.0))
    for half in range(1, 41):
        now = START + half * NS // 2
        while due and due[0][0] < now:
            ns, topic = due.pop(0)
            if topic == "tool_pose" and 5 * NS <= ns - START < 8 * NS:
                continue
            audit.add(topic, ns, rows=10 if topic == "force/samples" else 1)
        told[half / 2] = audit.late(now)
    assert all(told[t] == [] for t in told if t <= 5.0 or t >= 11.5)
    assert "instead of 100" in told[5.5][0] and told[5.5][0].startswith("tool_pose")
    assert "nothing for 3.0 s" in told[8.0][0]


def test_a_live_warning_names_what_never_came():
    audit = RateAudit(CONTRACT, START)
    assert audit.late(START + NS // 20) == []
    late = audit.late(START + 2 * NS)
    assert any(sentence.startswith("hand/image_raw/compressed: nothing for 2.0 s") for sentence in late)
    assert not any("chunk" in sentence or "features" in sentence for sentence in late)


def test_slow_chunks_are_told_while_they_come_and_not_after_the_goal():
    audit = RateAudit(CONTRACT, START)
    late: dict[float, list[str]] = {}
    due = [*stamps(10.0, 8.0, first_s=4.0), *stamps(6.0, 12.0, first_s=8.0)]
    for half in range(1, 33):
        now = START + half * NS // 2
        while due and due[0] < now:
            audit.add("action_expert/chunk", due.pop(0))
        late[half / 2] = [sentence for sentence in audit.late(now) if "chunk" in sentence]
    assert all(late[t] == [] for t in late if t <= 8.0 or t >= 13.0)
    assert "instead of 10 messages per second" in late[10.0][0]


def test_an_episode_of_no_length_is_bad_and_breaks_nothing():
    verdict = RateAudit(CONTRACT, START).verdict(START)
    assert len(verdict.reasons) == len(RATES) - 1
