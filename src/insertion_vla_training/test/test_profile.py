"""`profile`: latency of a checkpoint, seen as whoever runs the verb and reads its files sees it."""

import csv
import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from evaluate_rig import diffusion_checkpoint
from insertion_vla_core.calibration import load_calibration
from insertion_vla_core.geometry import Pose
from insertion_vla_core.observation import Missing
from insertion_vla_policy.checkpoint import load_checkpoint
from insertion_vla_policy.inputs import build_inputs
from insertion_vla_policy.policy import Policy
from insertion_vla_policy.registry import checkpoint_folder
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_sim.config import find_config
from insertion_vla_training.profiling.budget import budget
from insertion_vla_training.profiling.measure import Row, made_up, recommended
from insertion_vla_training.profiling.observations import DOWN, FEATURES_EVERY, MOUTH_BELOW_M, TOOL, Scene

from insertion_vla_policy import target
from insertion_vla_training import profile

WAIT_S = 120.0
CALIBRATION = find_config() / "calibration" / "sim.yaml"


def run(folder, out, *words):
    return profile.main(["--checkpoint", str(folder), "--out", str(out), "--repeats", "20", *words])


def read(out):
    return json.loads((out / "latency.json").read_text())


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory):
    return diffusion_checkpoint(tmp_path_factory.mktemp("policies") / "diffusion")


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    return diffusion_checkpoint(tmp_path_factory.mktemp("policies") / "regression", expert="regression")


@pytest.fixture(scope="module")
def measured(diffusion, tmp_path_factory):
    out = tmp_path_factory.mktemp("measured") / "made" / "by it"
    words = ("--steps", "20", "1", "4", "--backends", "eager", "cuda_graph", "--budget-ms", "10000")
    assert run(diffusion, out, *words) == 0
    return out


def test_more_steps_take_longer_and_the_most_within_the_budget_are_recommended(measured):
    found = read(measured)
    assert [(row["backend"], row["steps"], row["calls"]) for row in found["rows"]] == [
        ("eager", 1, 20), ("eager", 4, 20), ("eager", 20, 20)
    ]  # fmt: skip
    medians = [row["p50"] for row in found["rows"]]
    assert medians == sorted(medians) and medians[2] > 2.0 * medians[0]
    for row in found["rows"]:
        assert 0.0 < row["p50"] <= row["p95"] <= row["p99"] <= row["max"] and row["within"]
    assert found["recommended"]["steps"] == 20 and found["budget"] == "10000 ms as given"
    assert found["expert"] == "diffusion" and found["machine"]["threads"] == 1


def test_table_and_plot_hold_the_same_rows(measured):
    rows = list(csv.DictReader((measured / "latency.csv").open()))
    assert [float(row["p99_ms"]) for row in rows] == [row["p99"] for row in read(measured)["rows"]]
    assert [row["within_budget"] for row in rows] == ["yes"] * 3
    assert cv2.imread(str(measured / "latency.png")).std() > 10.0


def test_a_back_end_that_cannot_be_had_is_listed_with_the_reason(measured):
    (absent,) = read(measured)["unavailable"]
    assert absent["backend"] == "cuda_graph" and "torch sees no GPU here" in absent["reason"]


def test_onnx_is_measured_and_regression_has_one_row_per_back_end(regression, tmp_path, capsys):
    assert run(regression, tmp_path, "--steps", "1", "10", "--backends", "eager", "onnx") == 0
    found = read(tmp_path)
    assert [row["backend"] for row in found["rows"]] == ["eager", "onnx"]
    said = capsys.readouterr().out
    assert "recommended: run.backend: " in said and "run.steps" not in said
    assert "ms = 100 ms from chunk to chunk - 15 ms" in said
    assert cv2.imread(str(tmp_path / "latency.png")).std() > 10.0


def test_a_budget_that_nothing_meets_is_said_and_exits_with_1(diffusion, tmp_path, capsys):
    words = ("--steps", "1", "2", "--backends", "eager", "--budget-ms", "0.001")
    assert run(diffusion, tmp_path, *words) == 1
    said = capsys.readouterr().out
    assert "nothing is within the budget, the nearest is eager" in said and "try fewer --steps" in said
    assert read(tmp_path)["recommended"] is None
    assert [row["within_budget"] for row in csv.DictReader((tmp_path / "latency.csv").open())] == ["no", "no"]


def row(backend, steps, p99):
    return Row(backend, "cpu", steps, 10, p99, p99, p99, p99, p99, 0.1)


def test_the_recommendation():
    rows = [row("eager", 10, 50.0), row("onnx", 10, 20.0), row("onnx_int8", 10, 10.0), row("onnx_int8", 50, 90.0)]
    assert recommended(rows, 85.0) == rows[1], "as many steps: whole weights first, then the quicker"
    assert recommended(rows, 90.0) == rows[3], "the most steps"
    assert recommended(rows, 15.0) == rows[2]
    assert recommended(rows, 5.0) is None
    assert budget(3.0).ms == pytest.approx(82.0)


def test_made_up_observations_fill_every_input_and_features_come_at_their_pace(diffusion):
    checkpoint = load_checkpoint(diffusion)
    spec = checkpoint.config.model.inputs
    scene = Scene(checkpoint.contract, spec, checkpoint.config.backbone)
    with pytest.raises(Missing, match="features"):
        scene.observe()
    observations, took_ms = made_up(scene, 2 * FEATURES_EVERY)
    assert took_ms > 0.0
    for observation in observations:
        inputs = build_inputs(observation, spec)
        assert all(inputs[name].all() for name in inputs if name.endswith("_mask"))
    assert len({id(observation.streams["features"].newest) for observation in observations}) == 2


def test_a_policy_with_a_target_is_shown_a_trocar(diffusion):
    checkpoint, calibration = load_checkpoint(diffusion), load_calibration(CALIBRATION)
    spec = checkpoint.config.model.inputs.model_copy(update={"target": True})
    scene = Scene(checkpoint.contract, spec, checkpoint.config.backbone, calibration)
    (observation,), _ = made_up(scene, 1)
    inputs = build_inputs(observation, spec, target.TargetFinder(calibration))
    assert inputs["target_mask"].all()
    below = Pose(TOOL, DOWN).apply(np.array([0.0, 0.0, MOUTH_BELOW_M])) - TOOL
    assert inputs["target"][:3] == pytest.approx(below, abs=1e-3)


def test_the_trocar_that_was_looked_at_is_not_fitted_again_in_the_tick(monkeypatch):
    calls = []
    fit = target.tube_of
    monkeypatch.setattr(target, "tube_of", lambda *given: calls.append(given) or fit(*given))
    folder = checkpoint_folder("diffusion")
    checkpoint, options = load_checkpoint(folder), RunOptions(backend="eager")
    looking, plain = (Policy.load(folder, options, calibration=CALIBRATION) for _ in range(2))
    scene = Scene(
        checkpoint.contract, checkpoint.config.model.inputs, checkpoint.config.backbone, load_calibration(CALIBRATION)
    )
    (observation,), _ = made_up(scene, 1)
    looking.look(observation)
    assert len(calls) == 1
    action = looking(observation)
    assert len(calls) == 1
    assert (action.deltas == plain(observation).deltas).all() and len(calls) == 2


def test_ctrl_c_ends_at_once_in_one_line(diffusion, tmp_path):
    command = [sys.executable, "-m", "insertion_vla_training.profile", "--checkpoint", str(diffusion)]
    command += ["--out", str(tmp_path), "--backends", "eager", "--repeats", "1000000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stderr.readline().startswith("profile: ")  # it measures
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=WAIT_S)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and said.splitlines()[-1] == "profile: interrupted"
    assert "Traceback" not in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--steps", "0"), "expected --steps and --repeats of at least 1"),
        (("--steps", "101"), "expected 1 to 100 sampling steps, got 101"),
        (("--budget-ms", "-1"), "expected --budget-ms above 0, got -1"),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_do(diffusion, tmp_path, capsys, words, sentence):
    assert run(diffusion, tmp_path / "out", *words) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_shipped_policy_goes_by_its_name(tmp_path):
    assert run("regression", tmp_path, "--backends", "eager", "--budget-ms", "10000") == 0
    assert read(tmp_path)["policy"].startswith("regression-") and read(tmp_path)["checkpoint"] == "regression"


def test_what_is_no_checkpoint_is_refused(tmp_path, capsys):
    assert run(tmp_path / "none", tmp_path / "out") == 2
    assert "there is no such folder: check the path" in capsys.readouterr().err
    assert run("visual_servo", tmp_path / "out") == 2
    assert "has no steps and no back ends to choose; evaluate times it" in capsys.readouterr().err
    assert run("difusion", tmp_path / "out") == 2
    assert (
        "of diffusion, regression or the path of a checkpoint's folder, 'difusion' is none" in capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        run(tmp_path, tmp_path / "out", "--backends", "tensorrt")
    assert "invalid choice: 'tensorrt'" in capsys.readouterr().err
