"""What a training run refuses, each with one sentence that says what to do."""

import re
import resource

import numpy as np
import pytest
import torch
import yaml
from bag_rig import CONTRACT
from episode_rig import messages, write_episode
from insertion_vla_training.caching.tensors import TensorFile, write_tensors
from insertion_vla_training.preprocess import preprocess
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.store import Store
from safetensors.numpy import load_file
from train_rig import arguments, make_store, run, weights

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One episode in training and one in validation."""
    return make_store(tmp_path_factory.mktemp("store"), {"a": 1, "k": 3})


def said(capsys):
    """The sentence on stderr: one line, beginning with the verb."""
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("train: "), line
    return line


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data.wrokers", "2"], "unknown flag --data.wrokers, did you mean --data.workers?"),
        (["--optim.lr=-1"], "optim: lr Input should be greater than 0"),
        (["--optim.lr", "1e-8"], "expected min_lr of at most lr"),
        (["--expert", "flow"], "invalid choice 'flow' for argument '--expert'"),
        (["--optim.lr", "fast"], "--optim.lr: could not convert string to float: 'fast'"),
        (["--config"], "expected a file after --config"),
        (["--config", "nowhere.yaml"], "could not read it"),
        (["--stage", "2"], "expected a backbone for stage 2: --backbone.folder FOLDER"),
        (["--stage", "2", "--expert", "state_diffusion"], "expected stage 1 for state_diffusion"),
    ],
)
def test_wrong_flags_are_named(words, sentence, capsys):
    with pytest.raises(SystemExit) as leaving:
        run(*words)
    assert leaving.value.code == 2
    assert sentence in said(capsys)


def test_unknown_entries_of_a_file_are_named(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"optim": {"learning_rate": 1.0}}))
    with pytest.raises(SystemExit):
        run("--config", str(tmp_path / "c.yaml"))
    assert re.search(r"'optim.learning_rate' is not a known entry; (did you mean|known are)", said(capsys))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--data.weights", "1", "2"], "expected 1 --data.weights, one per store, got 2"),
        (["--data.weights", "0"], "expected --data.weights of 0 and more, one of them above 0"),
        (["--data.features", "qwen"], "expected one set of cached features 'qwen' .* there are color_keypoints-"),
        (["--device", "cuda"], "expected a GPU for --device cuda, this machine shows none: use --device cpu"),
        (["--log.trackers", "wandb"], r"wandb.* is not installed: pip install 'insertion_vla_training\[wandb\]'"),
        (["--init.checkpoint", "nowhere"], "expected a checkpoint in the folder nowhere"),
        (["--init.freeze", "force", "--model.fusion", "none"], "expected the encoder 'force' in the model"),
        (["--optim.batch-size", "512"], "use smaller batches"),
    ],
)
def test_settings_that_do_not_fit_are_refused(store, tmp_path, more, sentence, capsys):
    assert run(*arguments(tmp_path / "run", store), *more) == 2
    assert re.search(sentence, said(capsys))
    assert not (tmp_path / "run").exists()


def test_missing_and_empty_data(store, tmp_path, capsys):
    assert run("--out", str(tmp_path / "run")) == 2
    assert "--data.stores FOLDER, made by preprocess" in said(capsys)
    assert run(*arguments(tmp_path / "run", tmp_path / "nowhere")) == 2
    assert re.search("expected a store in .*nowhere, there is none; make one with: preprocess", said(capsys))
    bag = write_episode(tmp_path / "bad" / "a", messages(1.0, aline_bins=0), bad=True, reasons=("broken",))
    preprocess([bag], tmp_path / "empty", 1)
    assert run(*arguments(tmp_path / "run", tmp_path / "empty", features="none")) == 2
    assert re.search("expected samples of split 'train' .* there are none .*: record more episodes", said(capsys))
    assert run(*arguments(tmp_path / "run", tmp_path / "empty")) == 2
    assert re.search("compute them: cache build .*empty --backbone", said(capsys))


def test_a_single_episode_leaves_none_for_validation(tmp_path, capsys):
    store = make_store(tmp_path, {"a": 1}, pictures=False)
    words = arguments(tmp_path / "run", store, "--optim.steps", "2", features="none")
    assert run(*words) == 2
    assert re.search("split 'val'.*--val-share or --seed, or train without it: --validation.no-enabled", said(capsys))
    assert run(*words, "--validation.no-enabled") == 0
    card = (tmp_path / "run" / "checkpoint" / "MODEL_CARD.md").read_text()
    assert "Not validated" in card


def test_a_state_of_another_run_is_refused(store, tmp_path, capsys):
    words = arguments(tmp_path / "run", store, "--optim.steps", "2")
    assert run(*words) == 0
    capsys.readouterr()
    assert run(*words, "--model.fusion", "gated", "--seed", "4") == 2
    sentence = said(capsys)
    assert "--seed 0 (now 4); --model.fusion concat (now gated)" in sentence and "another --out" in sentence

    # The same data under another contract: its hash differs.
    text = CONTRACT.replace("name: insertion", "name: other", 1).replace("max_age_s: 1.2", "max_age_s: 1.1")
    assert text != CONTRACT
    bags = [
        write_episode(tmp_path / "bags" / name, messages(1.6, seed, aline_bins=0), contract=text)
        for name, seed in {"a": 1, "k": 3}.items()
    ]
    preprocess(bags, tmp_path / "other", 1, split=Split(val_share=0.4))
    assert run(*arguments(tmp_path / "run", tmp_path / "other", "--optim.steps", "2", features="none")) == 2
    assert "expected stores of the contract that" in said(capsys)

    state = tmp_path / "run" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1000])
    assert run(*words) == 2
    assert "truncated" in said(capsys)
    state.write_bytes(b"\x80\x04.")
    assert run(*words) == 2
    assert "a pickle, which could run code: it is never loaded" in said(capsys)


def test_a_run_that_leaves_the_numbers_stops_and_names_the_samples(store, tmp_path, capsys):
    words = arguments(tmp_path / "run", store, "--log.save-every", "1", "--optim.steps", "40", "--optim.lr", "1e30")
    assert run(*words, "--optim.warmup-ratio", "0", "--validation.every", "1") == 2
    assert "stopped after step 1: the validation loss is no number" in said(capsys)
    assert not (tmp_path / "run" / "state.safetensors").exists() and not (tmp_path / "run" / "checkpoint").exists()
    assert run(*words, "--optim.warmup-ratio", "0", "--validation.every", "100") == 2
    sentence = said(capsys)
    assert re.search(r"stopped at step \d+: .*the batch holds a at \d\.\d\d s \(tick \d{19}\)", sentence)
    assert "lower --optim.lr" in sentence
    # What was saved last is finite: the broken step was never made.
    for value in load_file(tmp_path / "run" / "state.safetensors").values():
        assert np.isfinite(value).all()


def test_features_that_are_no_numbers_are_named(tmp_path, capsys):
    store = make_store(tmp_path, {"a": 1, "k": 3})
    folder = next((store / "cache" / "features").iterdir())
    for shard in folder.glob("*.safetensors"):
        file = TensorFile(shard)
        arrays = {name: np.array(value) for name, value in file.arrays.items()}
        arrays["tokens"][0, 0, 0] = np.nan
        write_tensors(shard, arrays, dict(file.texts))
    assert run(*arguments(tmp_path / "run", store)) == 2
    assert re.search("expected finite features of episode 'a'.*`cache verify`.*`cache build`", said(capsys))


@pytest.mark.parametrize("room", [100_000, 5_000_000])
def test_a_full_disk_costs_one_sentence_and_nothing_that_was_saved(store, tmp_path, room, capsys):
    """As a disk that takes no more: there is no room for the policy, or for the state to resume from."""
    words = arguments(tmp_path / "run", store, "--validation.every", "2", "--model.fusion", "none")
    assert run(*words, "--optim.steps", "2") == 0
    before = weights(tmp_path / "run" / "checkpoint")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        assert run(*words, "--optim.steps", "4", "--rewarm") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert re.search("no space left for .* at step 4: .*; what was saved before stays: make space", said(capsys))
    if room == 100_000:
        after = weights(tmp_path / "run" / "checkpoint")
        assert all(np.array_equal(value, after[name]) for name, value in before.items())
    assert not list((tmp_path / "run").glob("*.part")) and not list((tmp_path / "run").glob(".*new*"))
    assert run(*words, "--optim.steps", "4", "--rewarm") == 0
    assert Store.open(store).episodes()
