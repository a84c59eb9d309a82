import numpy as np
import pytest
import torch
from insertion_vla_policy.checkpoint import save_checkpoint
from insertion_vla_policy.checkpoint_config import CheckpointConfig
from insertion_vla_policy.ema import Ema
from insertion_vla_policy.model_config import StateDiffusionConfig
from insertion_vla_policy.normalizer import state_normalizer
from insertion_vla_policy.policy import Policy
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_policy.state_policy import StatePolicy
from model_rig import NANO, checkpoint, seeded

CONFIG = StateDiffusionConfig(state_dim=25, action_dim=6, decoder=NANO)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Trained weights are far from their average: it shows which of them run."""
    folder = tmp_path_factory.mktemp("state") / "policy"
    model, rng = seeded(CONFIG), np.random.default_rng(0)
    scale = state_normalizer(rng.normal(size=(500, 25)), rng.normal(3.0, 0.1, (500, 6)))
    trained = {name: value + 1.0 for name, value in model.state_dict().items()}
    save_checkpoint(folder, CheckpointConfig(state_diffusion=CONFIG), trained, scale, average=Ema(model).weights)
    return folder


def test_the_average_runs_and_actions_are_in_their_own_units(folder):
    policy, states = StatePolicy.load(folder, RunOptions(steps=3)), np.zeros((2, 25))
    actions = policy.plan(states, torch.Generator().manual_seed(0))
    assert actions.shape == (16, 6) and np.abs(actions - 3.0).max() < 1.0
    model = seeded(CONFIG)
    assert all(torch.equal(v, model.state_dict()[n]) for n, v in policy.checkpoint.model.state_dict().items())


def test_what_is_carried_out_begins_at_the_newest_state(folder):
    policy, states = StatePolicy.load(folder, RunOptions(steps=2, seed=4)), np.ones((2, 25))
    whole = policy.plan(states)
    policy.reset()
    assert np.array_equal(policy(states), whole[1:9])


@pytest.mark.parametrize("states", [np.zeros((2, 24)), np.zeros(25), np.full((2, 25), np.nan)])
def test_states_that_are_none_are_refused(folder, states):
    with pytest.raises(ValueError, match=r"expected finite states of shape \(2, 25\).*hold until"):
        StatePolicy.load(folder, RunOptions(steps=1))(states)


def test_each_kind_of_policy_names_the_other(folder, tmp_path):
    with pytest.raises(ValueError, match="got a state policy"):
        Policy.load(folder)
    with pytest.raises(ValueError, match="got regression: use Policy.load"):
        StatePolicy.load(checkpoint(tmp_path / "vla"))
