"""State-diffusion policies from low-dimensional recordings: samples by their definition, and a whole run."""

import json

import numpy as np
import pytest
import torch
from insertion_vla_policy.checkpoint import load_checkpoint
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.preprocess import preprocess
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.trainer.state_set import StateSet
from legacy_rig import write_dp_zarr

from insertion_vla_training import import_, train, validate

torch.set_num_threads(1)
LENGTHS = (12, 9, 10, 14)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A store of four episodes, and their states and actions as they were recorded."""
    folder = tmp_path_factory.mktemp("states")
    state, action = write_dp_zarr(folder / "pen.zarr", LENGTHS, seed=5)
    assert import_.main([str(folder / "pen.zarr"), "--to", str(folder / "bags")]) == 0
    # Rows that hold no number are no samples and are not bridged.
    preprocess(sorted((folder / "bags").iterdir()), folder / "store", 1, split=Split(val_share=0.3))
    return folder / "store", state, action


def opened(store, split="train"):
    return StateSet([DataSource(store=str(store))], split, n_obs_steps=2, horizon=6)


def test_samples_are_the_recorded_rows(recorded):
    store, state, action = recorded
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    numbers = {split: opened(store, split) for split in ("train", "val")}
    assert sum(len(data) for data in numbers.values()) == sum(length - 1 for length in LENGTHS)
    seen = 0
    for data in numbers.values():
        batch = data.batch(range(len(data)), ())
        for row in range(len(data)):
            episode, second = data.name_of(row).split(" at ")[0], float(data.name_of(row).split(" at ")[1].split()[0])
            number, newest = int(episode.rsplit("_", 1)[1]), round(second * 10)
            first, end = starts[number] + newest - 1, starts[number + 1]
            np.testing.assert_allclose(batch["states"][row], state[first : first + 2], atol=1e-5)
            there = min(6, end - first)
            assert batch["rows"][row].tolist() == [True] * there + [False] * (6 - there)
            np.testing.assert_allclose(batch["action"][row, :there], action[first : first + there], atol=1e-6)
            before, older = data.actions_before([row])
            np.testing.assert_allclose(before[0], action[first], atol=1e-6)
            np.testing.assert_allclose(older[0], action[max(first - 1, starts[number])], atol=1e-6)
            seen += 1
    assert seen == 41


def test_a_state_policy_is_trained_validated_and_read_back(recorded, tmp_path, capsys):
    store, _, _ = recorded
    words = ["--out", str(tmp_path / "run"), "--expert", "state_diffusion", "--data.stores", str(store)]
    words += ["--model.size", "nano", "--model.horizon", "6", "--model.n-action-steps", "4", "--log.trackers"]
    words += ["--optim.batch-size", "8", "--optim.steps", "40", "--validation.every", "20", "--optim.lr", "2e-3"]
    assert train.main(words) == 0
    losses = [
        row["train/loss_epoch"]
        for row in map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
        if "train/loss_epoch" in row
    ]
    assert losses[1] < losses[0]
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoint")
    assert checkpoint.config.state_diffusion.state_dim == 25 and checkpoint.contract is None
    assert "linear" in (tmp_path / "run" / "checkpoint" / "MODEL_CARD.md").read_text()
    capsys.readouterr()
    assert validate.main([str(tmp_path / "run" / "checkpoint"), str(store), "--draws", "2"]) in (0, 1)
    report = json.loads((tmp_path / "run" / "checkpoint-validation" / "validation.json").read_text())
    assert set(report["beats"]) == {"hold", "linear"} and len(report["policy"]["channel_error"]) == 6
    assert report["spread"]["draws"] == 2


def test_chunks_are_not_for_state_policies(tmp_path, capsys):
    from train_rig import make_store

    store = make_store(tmp_path, {"a": 1, "k": 3}, pictures=False)
    words = ["--out", str(tmp_path / "run"), "--data.stores", str(store), "--expert", "state_diffusion"]
    assert train.main(words) == 2
    assert "has chunks of 8: train the expert regression or diffusion on it" in capsys.readouterr().err
