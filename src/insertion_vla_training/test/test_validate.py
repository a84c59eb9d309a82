"""Errors, baselines and the verdict of a validation."""

import json
import re

import numpy as np
import pytest
import torch
from insertion_vla_core.geometry import Pose, apply_delta, exp_so3, log_so3, quaternion_from_matrix
from insertion_vla_training.stores.stored_rows import StreamRows
from insertion_vla_training.validation.baselines import twist_at
from insertion_vla_training.validation.errors import calibration, chunk_errors, rotation_difference, summary
from train_rig import arguments, make_store, run

from insertion_vla_training import validate

torch.set_num_threads(1)
MS = 1_000_000


def test_turns_between_rotation_vectors_are_those_of_matrices():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.0, 1.0, (2, 50, 3))
    a[0], b[1] = b[0], 0.0
    b[2] = a[2] + 1e-9
    for one, two, found in zip(a, b, rotation_difference(a, b), strict=True):
        np.testing.assert_allclose(found, log_so3(exp_so3(one) @ exp_so3(two).T), atol=1e-7)


def test_errors_are_in_millimetres_and_degrees_by_axis_and_step():
    labels = np.zeros((2, 8, 7))
    labels[:, :, 3:6] = [0.0, 0.0, 0.3]
    actions = labels.copy()
    actions[:, :, 0] = 0.001 * (np.arange(8) + 1)
    actions[:, 7, 5] += np.radians(2.0)
    actions[1, :, 6] = 1.0
    position, rotation = chunk_errors(actions, labels)
    assert position.shape == rotation.shape == (2, 8, 3)
    found = summary(actions, labels)
    assert found["position_mm"] == pytest.approx(4.5) and found["end_position_mm"] == pytest.approx(8.0)
    assert found["position_axis_mm"][2] == pytest.approx([3.0, 0.0, 0.0])
    assert found["rotation_axis_deg"][7] == pytest.approx([0.0, 0.0, 2.0])
    assert found["rotation_deg"] == pytest.approx(0.25) and found["aux_error"] == pytest.approx(0.5)


@pytest.mark.parametrize(("spread", "low", "high"), [(1.0, 0.9, 1.1), (0.25, 3.0, 5.0)])
def test_calibration_tells_a_policy_that_is_too_sure_of_itself(spread, low, high):
    rng = np.random.default_rng(1)
    scale = rng.uniform(0.001, 0.01, (400, 1, 1))  # some samples are harder than others
    labels = rng.normal(0.0, 1.0, (400, 8, 7)) * scale
    draws = rng.normal(0.0, 1.0, (8, 400, 8, 7)) * scale * spread
    found = calibration(draws, labels)
    assert low < found["error_over_spread"] < high
    assert (abs(found["coverage"] - 7 / 9) < 0.04) == (spread == 1.0)
    assert found["coverage_expected"] == pytest.approx(7 / 9)
    assert found["correlation"] > 0.2
    errors = [group["error_mm"] for group in found["bins"]]
    assert len(errors) == 5 and errors[0] < errors[2] < errors[4]


def test_the_twist_is_of_what_had_arrived():
    twist = np.array([0.01, -0.02, 0.005, 0.1, 0.0, -0.3])
    start = Pose(np.array([0.2, 0.0, 0.1]), exp_so3([0.1, 0.2, 0.3]))
    stamps = np.arange(0, 500, 10) * MS
    poses = [apply_delta(start, twist * t * 1e-9) for t in stamps]
    rows = np.array([[*pose.position, *quaternion_from_matrix(pose.rotation)] for pose in poses])
    rows[45:] = np.nan  # and what came later does not count
    found = twist_at(StreamRows(stamps, stamps + 3 * MS, rows), int(stamps[40]) + 3 * MS)
    np.testing.assert_allclose(found, twist, atol=1e-9)
    assert not twist_at(StreamRows(stamps, stamps + 3 * MS, rows), 5 * MS).any()  # one pose says nothing


def test_the_verb_reports_and_its_exit_code_says_whether_the_baselines_are_beaten(tmp_path, capsys):
    store = make_store(tmp_path, {"a": 1, "k": 3})
    # So few samples that a small model knows them by heart, and nothing of other episodes.
    steps = ("--optim.steps", "200", "--optim.lr", "3e-3", "--optim.ema-decay", "0.9", "--validation.every", "200")
    assert run(*arguments(tmp_path / "run", store, *steps)) == 0
    policy = str(tmp_path / "run" / "checkpoint")
    capsys.readouterr()
    assert validate.main([policy, str(store), "--split", "train", "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "beats zero action and constant twist" in text
    report = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert report["contact"]["samples"] > 0 and report["free"]["samples"] > 0
    assert report["contact"]["samples"] + report["free"]["samples"] == report["samples"]
    assert np.shape(report["all"]["constant_twist"]["position_axis_mm"]) == (8, 3)
    assert (tmp_path / "out" / "validation.png").read_bytes().startswith(b"\x89PNG")

    # One that was spoilt by too high a rate.
    assert (
        run(*arguments(tmp_path / "bad", store, "--optim.steps", "3", "--optim.lr", "1", "--expert", "diffusion")) == 0
    )
    capsys.readouterr()
    assert validate.main([str(tmp_path / "bad" / "checkpoint"), str(store)]) == 1
    text = capsys.readouterr().out
    assert "DOES NOT BEAT" in text and "do not run it on a robot" in text and "8 draws are" in text
    assert "DOES NOT BEAT" in (tmp_path / "bad" / "checkpoint" / "MODEL_CARD.md").read_text()
    # In training and by the verb the same figures come out.
    assert validate.main([policy, str(store)]) in (0, 1)
    inside, outside = (
        json.loads((tmp_path / "run" / folder / "validation.json").read_text())["all"]["policy"]["position_mm"]
        for folder in ("plots", "checkpoint-validation")
    )
    assert inside == pytest.approx(outside, rel=1e-4)

    other = make_store(tmp_path / "other", {"a": 1, "k": 3}, pictures=False)
    assert validate.main([policy, str(other)]) == 2
    assert re.search("expected features of the backbone 'color_keypoints' .* cache build", capsys.readouterr().err)
    assert validate.main([str(tmp_path / "nowhere"), str(store)]) == 2
    assert "there is no such folder" in capsys.readouterr().err
