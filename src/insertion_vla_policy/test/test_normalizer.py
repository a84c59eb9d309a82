import numpy as np
import pytest
import torch
from insertion_vla_policy.normalizer import (
    CLIP,
    load_normalizer,
    normalizer_of,
    save_normalizer,
    state_normalizer,
    vla_normalizer,
)
from model_rig import SPEC, STATISTICS, normalizer
from safetensors.torch import save_file


def test_the_quantiles_become_plus_and_minus_one():
    scale = normalizer()
    low, high = (torch.tensor([[q, 0.0]]) for q in (0.0, 0.3))
    force = scale.normalize({"force": torch.stack([low[:, :1], high[:, :1]])})["force"]
    assert torch.allclose(force.flatten(), torch.tensor([-1.0, 1.0]), atol=1e-6)


def test_mean_and_deviation_by_choice():
    scale = vla_normalizer(STATISTICS, SPEC, "mean_std")
    assert scale.centers["force"].item() == pytest.approx(0.15)
    assert scale.scales["force"].item() == pytest.approx(0.3 / 12**0.5)
    with pytest.raises(ValueError, match="method quantile or mean_std, got 'minmax'"):
        vla_normalizer(STATISTICS, SPEC, "minmax")


def test_outliers_are_cut_and_masks_left_alone():
    mask = torch.ones(1, 65, dtype=torch.bool)
    result = normalizer().normalize({"force": torch.full((1, 65, 1), 1e6), "force_mask": mask})
    assert (result["force"] == CLIP).all() and result["force_mask"] is mask


def test_actions_go_there_and_back_and_rows_have_their_own_scale():
    scale = normalizer()
    actions = torch.randn(3, 8, 7) * 0.01
    assert torch.allclose(scale.actions(scale.normalize_actions(actions)), actions, atol=1e-7)
    even = torch.linspace(0.002, 0.016, 8)[:, None] * torch.ones(7)
    assert torch.allclose(scale.normalize_actions(even)[:, 0], torch.ones(8), atol=1e-5), "an even motion is even"


def test_actions_of_the_training_set_say_it_better():
    rng = np.random.default_rng(0)
    actions = np.cumsum(rng.normal(size=(500, 8, 7)), axis=1)
    scale = vla_normalizer(STATISTICS, SPEC, "mean_std", actions=actions)
    spread = scale.normalize_actions(torch.from_numpy(actions).float()).std(dim=0)
    assert torch.allclose(spread, torch.ones(8, 7), atol=0.01)


def test_what_never_varies_is_not_blown_up():
    still = {**STATISTICS, "joints": {**STATISTICS["joints"], "q01": [0.3] * 6, "q99": [0.3] * 6}}
    state = torch.zeros(1, SPEC.state_channels)
    state[:, :6] = 0.301  # a milliradian away from all that was seen
    assert vla_normalizer(still, SPEC).normalize({"state": state})["state"][0, :6].abs().max() < 0.2


def test_round_trip(tmp_path):
    scale = vla_normalizer(STATISTICS, SPEC, features=np.random.default_rng(0).normal(size=(50, 8)))
    save_normalizer(scale, tmp_path / "n.safetensors")
    back = load_normalizer(tmp_path / "n.safetensors")
    assert set(back.scales) == {"state", "force", "history", "feature_age", "tool_motion", "action", "features"}
    assert all(torch.equal(back.scales[name], scale.scales[name]) for name in scale.scales)
    assert all(torch.equal(back.centers[name], scale.centers[name]) for name in scale.centers)


def test_states_of_a_low_dimensional_policy():
    rng = np.random.default_rng(0)
    scale = state_normalizer(rng.normal(2.0, 3.0, (1000, 25)), rng.normal(size=(1000, 6)))
    assert scale.normalize({"states": torch.full((1, 2, 25), 2.0)})["states"].abs().max() < 0.1


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda s: s.pop("force"), "expected statistics of 'force', got those of joints"),
        (lambda s: s["surface_distance"].update(count=[0]), "expected data of 'surface_distance' in the training"),
        (lambda s: s.update(joints=s["tool_pose"]), "expected statistics of 15 channels for the input 'state', got 16"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(change, sentence):
    statistics = {name: dict(values) for name, values in STATISTICS.items()}
    change(statistics)
    with pytest.raises(ValueError, match=sentence):
        vla_normalizer(statistics, SPEC)


def test_no_data_is_no_reason_to_divide_by_nothing():
    with pytest.raises(ValueError, match="finite values to normalise by"):
        state_normalizer(np.zeros((0, 3)), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="finite values to normalise by"):
        vla_normalizer(STATISTICS, SPEC, actions=np.full((3, 8, 7), np.nan))


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "n.safetensors"
    with pytest.raises(ValueError, match="there is no such file"):
        load_normalizer(path)
    save_file({"force.center": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="a centre and a scale of one shape for 'force'"):
        load_normalizer(path)
    save_normalizer(normalizer_of({"force": [[0.0], [0.0]]}), path)
    with pytest.raises(ValueError, match="scales above zero for 'force'"):
        load_normalizer(path)
