"""Training runs as a user sees them: what they write, that they learn, and that they go on to the bit."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from insertion_vla_policy.checkpoint import load_checkpoint
from insertion_vla_policy.policy import Policy
from train_rig import arguments, make_store, records, run, weights

torch.set_num_threads(1)
MODULE = (sys.executable, "-m", "insertion_vla_training.train")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two episodes in training and one in validation."""
    return make_store(tmp_path_factory.mktemp("store"), {"a": 1, "b": 2, "k": 3})


@pytest.mark.parametrize("expert", ["regression", "diffusion"])
def test_a_run_learns_and_writes_down_all_of_it(store, tmp_path, expert, capsys):
    folder = tmp_path / "run"
    words = ("--expert", expert, "--optim.lr", "2e-3", "--optim.ema-decay", "0.9", "--log.trackers", "tensorboard")
    assert run(*arguments(folder, store, *words, "--optim.steps", "60", "--validation.every", "30")) == 0
    assert "validation loss" in capsys.readouterr().err

    rows = records(folder)
    losses = [row["train/loss_epoch"] for row in rows if "train/loss_epoch" in row]
    assert len(losses) == 2 and losses[1] < 0.7 * losses[0]
    keys = {"train/loss_step", "train/lr", "train/grad_norm", "train/sensor_samples", "val/loss_epoch", "epoch"}
    keys |= {"val/position_mm", "val/rotation_deg", "params/trainable_M"}
    keys |= {"train/noise_loss", "train/diffusion_t"} if expert == "diffusion" else set()
    assert keys <= {key for row in rows for key in row}
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert keys <= set(header)
    for name in ("training.png", "validation.png"):
        assert (folder / "plots" / name).read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))

    # The policy is read strictly, says how good it is, and its averaged weights are not those of the last step.
    checkpoint = load_checkpoint(folder / "checkpoint")
    assert checkpoint.config.vla.expert == expert and checkpoint.config.backbone.model_id == "color_keypoints"
    cost = checkpoint.config.training
    assert 0.0 < cost["training_hours"] < 1.0 and 0.1 < cost["peak_memory_GB"] < 100.0
    assert Policy.load(folder / "best").policy_id.startswith(expert)
    card = (folder / "checkpoint" / "MODEL_CARD.md").read_text()
    assert "constant twist" in card and "contact" in card and ("Calibration" in card) == (expert == "diffusion")
    saved = weights(folder / "checkpoint")
    name = next(name for name in saved if name.startswith("ema.") and saved[name].ndim == 2)
    assert not np.array_equal(saved[name], saved["model." + name.removeprefix("ema.")])

    # The same command does nothing more; its config gives the same run.
    assert run(*arguments(folder, store, *words, "--optim.steps", "60", "--validation.every", "30")) == 0
    assert records(folder) == rows
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert settings["expert"] == expert and settings["optim"]["lr"] == 2e-3


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(store, tmp_path):
    more = ("--expert", "diffusion", "--model.dropout", "0.1", "--optim.accumulate", "2", "--optim.steps", "15")
    more += ("--validation.every", "3", "--log.every", "1", "--validation.sampling-steps", "2")
    whole, killed = (arguments(tmp_path / name, store, *more) for name in ("whole", "killed"))
    assert run(*whole) == 0
    process = subprocess.Popen([*MODULE, *killed], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    with process:
        # Each sentence comes before its state is saved: with the third there are two states, and more to come.
        sentences = (line for line in process.stderr if re.match(r"step \d+:", line))
        for _, _line in zip(range(3), sentences, strict=False):
            pass
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "killed" / "state.safetensors").exists()
    assert records(tmp_path / "killed")[-1]["step"] < 15
    assert run(*killed) == 0
    assert records(tmp_path / "killed") == records(tmp_path / "whole")
    for folder in ("checkpoint", "best"):
        files = [tmp_path / name / folder / "model.safetensors" for name in ("whole", "killed")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_two_processes_give_the_result_of_one(store, tmp_path):
    """Half the batch each, noise included: the same step, but for the order of sums."""
    more = ("--expert", "diffusion", "--optim.steps", "4", "--validation.every", "4", "--optim.lr", "1e-3")
    assert run(*arguments(tmp_path / "one", store, *more)) == 0
    words = arguments(tmp_path / "two", store, *more)
    words[words.index("--optim.batch-size") + 1] = "4"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", MODULE[2]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([*torchrun, *words], capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    one, two = (weights(tmp_path / name / "checkpoint") for name in ("one", "two"))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=2e-5, rtol=1e-4, err_msg=name)
    one, two = (records(tmp_path / name) for name in ("one", "two"))
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for key in ("train/sensor_samples", "train/nonsensor_samples", "epoch"):
        assert [row.get(key) for row in one] == [row.get(key) for row in two]
    for key in ("train/loss_step", "train/noise_loss", "train/diffusion_t", "val/loss_epoch"):
        values = [[row[key] for row in rows if key in row] for rows in (one, two)]
        np.testing.assert_allclose(*values, rtol=1e-3)


def test_a_finished_run_is_prolonged_with_a_new_warm_up(store, tmp_path, capsys):
    base = arguments(tmp_path / "run", store, "--validation.every", "100", "--log.every", "1", "--optim.lr", "1e-3")
    assert run(*base, "--optim.steps", "8") == 0
    assert run(*base, "--optim.steps", "16") == 2
    assert "--rewarm for other steps and rates" in capsys.readouterr().err
    assert run(*base, "--optim.steps", "8", "--optim.clip", "2", "--rewarm") == 2
    assert "raise --optim.steps" in capsys.readouterr().err
    assert run(*base, "--optim.steps", "16", "--optim.warmup-ratio", "0.25", "--rewarm") == 0
    rates = [row["train/lr"] for row in records(tmp_path / "run") if "train/lr" in row]
    assert len(rates) == 16
    assert rates[0] == max(rates[:8]) and rates[7] < 2e-4  # of 8 steps, 3 % is the first
    assert rates[8] < rates[9] == max(rates[8:]) == pytest.approx(1e-3) and rates[15] < 2e-4


def test_parts_of_a_policy_are_taken_over_and_frozen(store, tmp_path):
    assert run(*arguments(tmp_path / "first", store, "--optim.steps", "3")) == 0
    taken = ("--init.checkpoint", str(tmp_path / "first" / "checkpoint"), "--init.parts", "force", "state")
    frozen = ("--init.freeze", "force", "--expert", "diffusion", "--seed", "1", "--optim.steps", "3")
    assert run(*arguments(tmp_path / "second", store, *taken, *frozen)) == 0
    first, second = (weights(tmp_path / name / "checkpoint") for name in ("first", "second"))
    force = [name for name in second if name.startswith("model.encoder.force.")]
    assert force and all(np.array_equal(first[name], second[name]) for name in force)
    state = "model.encoder.state.state.0.weight"
    assert not np.array_equal(first[state], second[state])
    assert np.abs(first[state] - second[state]).max() < 0.01  # a few steps away, not drawn anew


def test_the_ablation_hides_the_state_from_the_saved_policy_too(store, tmp_path):
    assert run(*arguments(tmp_path / "run", store, "--model.no-robot-state", "--optim.steps", "2")) == 0
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoint")
    state = torch.randn(3, checkpoint.config.vla.inputs.state_channels)
    assert torch.count_nonzero(checkpoint.normalizer.normalize({"state": state})["state"].abs() > 1e-6) == 0


def test_a_dry_run_tells_the_cost_and_leaves_nothing(store, tmp_path, capsys):
    before = sorted(path for path in tmp_path.rglob("*"))
    words = arguments(tmp_path / "run", store, "--optim.epochs", "2", "--optim.accumulate", "2")
    assert run(*words, "--dry-run") == 0
    text = capsys.readouterr().out
    assert re.search(r"parameters +\d\.\d+ M trained, 0\.00 M frozen", text)
    assert re.search(r"memory .* MB of weights, .* MB in use", text)
    assert re.search(r"per step of 16 samples .* \d+ steps: [\d.]+ min", text)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_weights_of_stores_decide_how_often_they_are_drawn(store, tmp_path):
    other = make_store(tmp_path / "other", {"d": 5, "f": 6})
    words = arguments(tmp_path / "run", store, "--optim.steps", "4")
    at = words.index(str(store))
    words[at : at + 1] = [str(store), str(other), "--data.weights", "0", "2"]
    assert run(*words) == 0
    other_only = arguments(tmp_path / "alone", other, "--optim.steps", "4")
    assert run(*other_only) == 0
    one, two = (json.loads((tmp_path / n / "plots" / "validation.json").read_text()) for n in ("run", "alone"))
    assert one["of"] == two["of"]
