"""A checkpoint gives back what was saved, and anything else is refused in a sentence that says what to do."""

import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from insertion_vla_core.contract import parse_contract
from insertion_vla_policy.checkpoint import (
    check_live_contract,
    load_checkpoint,
    load_training_weights,
    save_checkpoint,
)
from insertion_vla_policy.checkpoint_config import CheckpointConfig
from insertion_vla_policy.ema import Ema
from insertion_vla_policy.model_card import write_card
from insertion_vla_policy.model_config import StateDiffusionConfig
from insertion_vla_policy.normalizer import state_normalizer
from model_rig import BACKBONE, CONTRACT_TEXT, FUSIONS, NANO, batch, checkpoint, normalizer, seeded, vla_config
from observation_rig import CONTRACT
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


@pytest.mark.parametrize("expert", ["regression", "diffusion"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_combination_is_saved_and_loaded(tmp_path, expert, fusion):
    model = seeded(vla_config(expert, fusion))
    loaded = load_checkpoint(checkpoint(tmp_path / "policy", expert, fusion))
    assert loaded.config.vla == model.config and loaded.contract == CONTRACT
    assert all(torch.equal(value, loaded.model.state_dict()[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, loaded.normalizer.scales[name]) for name, value in normalizer().scales.items())
    assert not loaded.model.training


def test_the_average_runs_and_the_weights_as_trained_are_kept(tmp_path):
    model = seeded(vla_config())
    ema = Ema(model)
    trained = {name: value + 1.0 for name, value in model.state_dict().items()}
    config = CheckpointConfig(vla=model.config, backbone=BACKBONE)
    save_checkpoint(tmp_path / "policy", config, trained, normalizer(), CONTRACT_TEXT, ema.weights)
    loaded = load_checkpoint(tmp_path / "policy").model
    inputs = batch(1)
    with torch.inference_mode():
        assert torch.equal(loaded.act(inputs), model.act(inputs))
    resumed = seeded(vla_config(), seed=5)
    load_training_weights(tmp_path / "policy", resumed)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in trained.items())


def test_a_state_policy_has_no_contract(tmp_path):
    config = StateDiffusionConfig(state_dim=25, action_dim=6, decoder=NANO)
    states, actions = torch.randn(100, 25).numpy(), torch.randn(100, 6).numpy()
    save_checkpoint(
        tmp_path / "state",
        CheckpointConfig(state_diffusion=config),
        seeded(config).state_dict(),
        state_normalizer(states, actions),
    )
    loaded = load_checkpoint(tmp_path / "state")
    assert loaded.config.model == config and loaded.contract is None
    with pytest.raises(ValueError, match="got a state policy: it runs on low-dimensional states"):
        check_live_contract(loaded, CONTRACT)


def test_the_card_names_every_file_with_size_and_hash(tmp_path):
    folder = checkpoint(tmp_path / "policy")
    card = (folder / "MODEL_CARD.md").read_text()
    for name in ("config.yaml", "contract.yaml", WEIGHTS, "normalizer.safetensors"):
        assert f"| `{name}` | {(folder / name).stat().st_size} | `" in card
    assert sorted(os.listdir(tmp_path)) == ["policy"], "nothing is left of the writing"


def test_saving_again_replaces_all_of_it(tmp_path):
    folder = checkpoint(tmp_path / "policy", "regression")
    (folder / "old.txt").write_text("left over")
    checkpoint(folder, "diffusion")
    assert load_checkpoint(folder).config.model.expert == "diffusion"
    assert not (folder / "old.txt").exists()


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    model = seeded(vla_config())
    weights = {name: value * float("nan") for name, value in model.state_dict().items()}
    config = CheckpointConfig(vla=model.config, backbone=BACKBONE)
    with pytest.raises(ValueError, match="expected finite weights.*nothing saved"):
        save_checkpoint(tmp_path / "policy", config, weights, normalizer(), CONTRACT_TEXT)
    assert os.listdir(tmp_path) == []


def test_a_contract_that_does_not_fit_is_not_saved(tmp_path):
    model = seeded(vla_config())
    config = CheckpointConfig(vla=model.config, backbone=BACKBONE)
    slow = CONTRACT_TEXT.replace("rate_hz: 650.0", "rate_hz: 1300.0")
    with pytest.raises(ValueError, match="history_surface_rows is 2 against 1"):
        save_checkpoint(tmp_path / "policy", config, model.state_dict(), normalizer(), slow)


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", [WEIGHTS, "normalizer.safetensors"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_never_loaded_under_any_name(tmp_path, name, zipped):
    folder, mark = checkpoint(tmp_path / "policy"), tmp_path / "executed"
    data = pickle.dumps(Payload(mark))
    if zipped:  # as torch.save writes
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", data)
        data = buffer.getvalue()
    (folder / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"as safetensors in .*{name}, got a pickle, which could run code"):
        load_checkpoint(folder)
    assert not mark.exists()
    if not zipped:
        pickle.loads(data)
        assert mark.exists(), "the payload would have worked"


def rewritten(folder: Path) -> Path:
    """The card says what the files are now, so that the files themselves are looked at."""
    config = CheckpointConfig.model_validate(yaml.safe_load((folder / "config.yaml").read_text()))
    write_card(folder, config, "policy", "")
    return folder


def change_weights(folder: Path, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def change_yaml(folder: Path, change) -> None:
    values = yaml.safe_load((folder / "config.yaml").read_text())
    change(values)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))


def first(tensors) -> str:
    return sorted(tensors)[0]


DAMAGES = {
    "no folder": (shutil.rmtree, "there is no such folder: check the path"),
    "no config": (lambda f: (f / "config.yaml").unlink(), "expected a policy's configuration in the YAML file"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), f"expected {WEIGHTS} in .*not there: copy the whole checkpoint"),
    "no card": (lambda f: (f / "MODEL_CARD.md").unlink(), "expected MODEL_CARD.md in .*not there: copy the whole"),
    "no contract": (lambda f: (f / "contract.yaml").unlink(), "expected contract.yaml in .*not there"),
    "truncated": (
        lambda f: os.truncate(f / WEIGHTS, 5000),
        "could not read it .*truncated or damaged, copy or save it",
    ),
    "empty": (lambda f: (f / WEIGHTS).write_bytes(b""), "could not read it .*truncated or damaged"),
    "nan": (
        lambda f: change_weights(f, lambda t: t[first(t)].fill_(float("nan"))),
        "expected finite numbers in .*got NaN or infinity in 'model.*take an earlier checkpoint",
    ),
    "other content": (
        lambda f: change_weights(f, lambda t: t[first(t)].add_(1.0)),
        r"expected the content of .*model.safetensors that MODEL_CARD.md says, got another",
    ),
    "missing tensor": (
        lambda f: (change_weights(f, lambda t: t.pop(first(t))), rewritten(f)),
        "expected the weights of the model that config.yaml describes in .*is missing; the files are from different",
    ),
    "another tensor": (
        lambda f: (change_weights(f, lambda t: t.update({"model.extra": torch.zeros(1)})), rewritten(f)),
        "'extra' is unknown",
    ),
    "wrong shape": (
        lambda f: (change_weights(f, lambda t: t.update({"model.queries": torch.zeros(9, 128)})), rewritten(f)),
        r"'queries' has shape \[9, 128\] instead of \[8, 128\]",
    ),
    "another size": (
        lambda f: (change_yaml(f, lambda v: v["vla"]["decoder"].update(size="small")), rewritten(f)),
        r"has shape \[8, 128\] instead of \[8, 256\]",
    ),
    "edited config": (
        lambda f: change_yaml(f, lambda v: v["training"].update(steps=7)),
        "expected .* bytes in .*config.yaml|content of .*config.yaml that MODEL_CARD.md says",
    ),
    "unknown entry": (
        lambda f: change_yaml(f, lambda v: v["vla"].update(fusoin="concat")),
        "'vla.fusoin' is not a known entry; did you mean 'fusion'",
    ),
    "other inputs": (
        lambda f: (change_yaml(f, lambda v: v["vla"]["inputs"].update(joints=7)), rewritten(f)),
        "expected inputs that the contract 'insertion' gives.*joints is 7 against 6",
    ),
    "no backbone": (
        lambda f: change_yaml(f, lambda v: v.pop("backbone")),
        "expected 'backbone' exactly where the model takes features",
    ),
    "normaliser of another policy": (
        lambda f: (
            save_file({"action.center": torch.zeros(7), "action.scale": torch.ones(7)}, f / "normalizer.safetensors"),
            rewritten(f),
        ),
        "expected a scale for 'state' in .*normalizer.safetensors, there is none",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    change, sentence = DAMAGES[damage]
    folder = checkpoint(tmp_path / "policy")
    load_checkpoint(folder)
    change(folder)
    with pytest.raises(ValueError, match=sentence) as refused:
        load_checkpoint(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


def test_another_contract_is_refused_naming_both_sides(tmp_path):
    loaded = load_checkpoint(checkpoint(tmp_path / "policy"))
    check_live_contract(loaded, CONTRACT)
    live = parse_contract(CONTRACT_TEXT.replace("unit: N\n", "unit: mN\n"), "here")
    with pytest.raises(ValueError, match=r"another contract .*observations.force.unit: N against mN; run it with"):
        check_live_contract(loaded, live)
