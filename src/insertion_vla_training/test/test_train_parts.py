"""The parts of a training run by themselves: rates, weights of samples, noise, groups of the optimiser."""

import numpy as np
import pytest
import torch
from insertion_vla_policy.inputs import InputSpec
from insertion_vla_policy.model import build_model
from insertion_vla_policy.model_config import DecoderConfig, VlaConfig
from insertion_vla_policy.normalizer import Normalizer
from insertion_vla_training.datasets.sampler import WeightedOrder
from insertion_vla_training.trainer.contact import drawn_share, loss_weights, near_contact
from insertion_vla_training.trainer.normalization import merged
from insertion_vla_training.trainer.objective import Objective, rows_of, step_draws
from insertion_vla_training.trainer.optimizer import make_optimizer
from insertion_vla_training.trainer.schedule import rate_share, set_rates
from insertion_vla_training.trainer.settings import TrainSettings

torch.set_num_threads(1)
SPEC = InputSpec(
    joints=6, force_channels=1, force_rows=10, history_rows=4, history_force_rows=20, history_surface_rows=0,
    feature_tokens=3, feature_dim=5, pose_gap_s=0.1,
)  # fmt: skip


def test_the_rate_rises_holds_and_falls_and_does_so_again():
    shares = [rate_share(step, [(0, 200)], 0.03, 0.02) for step in range(200)]
    assert shares[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    assert shares[6:11] == [1.0] * 5
    assert np.all(np.diff(shares[10:]) < 0) and shares[105] == pytest.approx(0.5, abs=0.01) and shares[-1] < 1e-3
    again = [rate_share(step, [(0, 200), (100, 300)], 0.1, 0.0) for step in range(300)]
    assert again[:100] == [rate_share(step, [(0, 200)], 0.1, 0.0) for step in range(100)]
    assert again[100] == pytest.approx(0.05) and again[119] == 1.0 and again[299] < 1e-3
    group = {"peak": 1e-3}
    set_rates([group], 0.5, 1e-5)
    assert group["lr"] == pytest.approx(0.5 * (1e-3 + 1e-5))


def test_weights_near_contact_have_a_mean_of_one_over_what_is_drawn():
    rng = np.random.default_rng(0)
    sources = np.repeat([0, 1], [300, 700])
    own, flags = rng.uniform(0.5, 2.0, 1000), rng.random(1000) < np.where(sources, 0.1, 0.6)
    share = drawn_share(flags, sources, own, [3.0, 1.0])
    drawn, _ = WeightedOrder(sources, own, [3.0, 1.0], seed=1, length=20_000).epoch(0)
    assert share == pytest.approx(flags[drawn].mean(), abs=0.005)
    weights = loss_weights(torch.from_numpy(flags[drawn]), 2.0, share)
    assert weights.mean().item() == pytest.approx(1.0, abs=0.005)
    assert weights.max().item() == pytest.approx(2.0 * weights.min().item())
    actions = torch.zeros(3, 8, 7)
    actions[1, 0, 6], actions[2, 1:, 6] = 1.0, 1.0  # only the first row counts
    assert near_contact(actions).tolist() == [False, True, False]
    assert not near_contact(torch.ones(2, 16, 6)).any()


def test_the_loss_is_the_experts_own_and_its_noise_does_not_know_about_processes():
    torch.manual_seed(0)
    model = build_model(VlaConfig(expert="diffusion", inputs=SPEC, decoder=DecoderConfig(size="nano")))
    ones = {"action": torch.ones(8, 7)}
    objective = Objective(model, Normalizer({"action": torch.zeros(8, 7)}, ones)).eval()
    batch = {
        name: torch.ones((6, *shape), dtype=torch.bool) if name.endswith("_mask") else torch.randn(6, *shape)
        for name, shape in SPEC.shapes().items()
    }
    actions = torch.randn(6, 8, 7)
    draws = step_draws(model, seed=3, step=5, count=6)
    # The model's own loss draws levels and noise from a generator in the same order.
    expected = model(batch, actions, None, torch.Generator().manual_seed(3 * 1_000_003 + 5)).per_sample
    torch.testing.assert_close(objective({**batch, "action": actions}, draws).per_sample, expected)
    for rank in range(2):
        mine = {name: value[rank::2] for name, value in {**batch, "action": actions}.items()}
        part = objective(mine, rows_of(draws, rank, 3, 2, torch.device("cpu"))).per_sample
        torch.testing.assert_close(part, expected[rank::2])


def test_matrices_decay_and_the_force_encoder_has_a_rate_of_its_own():
    model = build_model(VlaConfig(expert="regression", inputs=SPEC, decoder=DecoderConfig(size="nano")))
    settings = TrainSettings.model_validate({"optim": {"lr": 1e-3, "force_lr": 5e-3}})
    model.encoder.state.requires_grad_(False)
    optimizer = make_optimizer(model, settings)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen = set()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.add(name)
            assert group["peak"] == (5e-3 if name.startswith("encoder.force.") else 1e-3)
            matrix = parameter.ndim > 1 and not name.endswith((".position", ".place", "queries"))
            assert group["weight_decay"] == (0.01 if matrix else 0.0), name
    assert seen == {name for name in names.values() if not name.startswith("encoder.state.")}
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="everything is frozen: leave out some of --init.freeze"):
        make_optimizer(model, settings)


def test_statistics_of_several_stores_are_those_of_all_their_rows():
    rng = np.random.default_rng(0)
    parts = [rng.normal(1.0, 2.0, (500, 2)), rng.normal(-3.0, 0.5, (1500, 2))]

    def of(values):
        low, high = np.quantile(values, [0.01, 0.99], axis=0)
        named = {"count": np.full(2, len(values)), "q01": low, "q99": high}
        return {name: v.tolist() for name, v in {**named, "mean": values.mean(0), "std": values.std(0)}.items()}

    both = merged([{"force": of(part)} for part in parts])["force"]
    whole = of(np.concatenate(parts))
    for name in ("count", "mean", "std"):
        np.testing.assert_allclose(both[name], whole[name], rtol=1e-9)
    assert np.all(np.array(both["q01"]) <= whole["q01"]) and np.all(np.array(both["q99"]) >= whole["q99"])
