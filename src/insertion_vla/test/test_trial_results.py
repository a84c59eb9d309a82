"""Trials are kept whatever interrupts them, and the rate comes with an honest interval."""

import pytest
from insertion_vla.trial_results import Trial, append, load, report, wilson


def trial(seed: int, truth: bool = True, task: bool = True, policy: str = "p") -> Trial:
    return Trial(policy, seed, "green", task, truth, "because", 30.0, 0.2, 0.3, 0.1, 10.0, 0.101, 0.5)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (40, 50, 0.6696, 0.8876), (0, 0, 0.0, 1.0)],
)
def test_wilson_agrees_with_published_values(successes, count, low, high):
    assert wilson(successes, count) == pytest.approx((low, high), abs=2e-4)


def test_trials_come_back_and_a_cut_line_is_dropped_and_replaced(tmp_path):
    path = tmp_path / "trials.jsonl"
    append(path, trial(1))
    append(path, trial(2, truth=False))
    with path.open("a") as file:
        file.write('{"policy": "p", "se')
    assert sorted(load(path, "p")) == [1, 2]
    append(path, trial(3))
    again = load(path, "p")
    assert sorted(again) == [1, 2, 3] and again[2] == trial(2, truth=False)


def test_results_of_another_policy_are_not_mixed_in(tmp_path):
    path = tmp_path / "trials.jsonl"
    append(path, trial(1, policy="other"))
    with pytest.raises(ValueError, match="other"):
        load(path, "p")


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text("{}\n{}\n")
    with pytest.raises(ValueError, match="line 1"):
        load(path, "p")


def test_success_needs_the_truth_and_the_task():
    text = report([trial(1), trial(2, truth=False), trial(3, task=False)])
    assert "success 1/3 = 33 %" in text.replace("33%", "33 %")
    assert "claimed 1 that were not true" in text
