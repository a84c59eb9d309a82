"""The noise process against formulas written out here, and shortcuts against the long way."""

import math

import pytest
import torch
from insertion_vla_policy.experts.noise import add_noise, make_sampler, training_schedule, visited_levels
from insertion_vla_policy.model import build_model
from insertion_vla_policy.model_config import DecoderConfig, DiffusionConfig, StateDiffusionConfig
from model_rig import FUSIONS, batch, seeded, vla_config

T, CLIP = 100, 3.0
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def signal(t: int) -> float:
    """Share of the signal's power at level t of a cosine schedule whose steps are bounded (Nichol & Dhariwal, 2021)."""

    def even(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    return math.prod(1.0 - min(1.0 - even((i + 1) / T) / even(i / T), 0.999) for i in range(t + 1))


def ddim(model_noise, x, levels):
    """Deterministic DDIM (Song et al., 2021, eq. 12 with eta = 0), sample cut to +-CLIP as in training data."""
    for t, following in zip(levels, [*levels[1:], None], strict=True):
        now, then = signal(t), 1.0 if following is None else signal(following)
        noise = model_noise(x, t)
        clean = ((x - math.sqrt(1.0 - now) * noise) / math.sqrt(now)).clamp(-CLIP, CLIP)
        x = math.sqrt(then) * clean + math.sqrt(1.0 - then) * noise
    return x


@pytest.mark.parametrize("device", DEVICES)
def test_the_schedule_is_the_cosine(device):
    table = training_schedule(T).alphas_cumprod
    assert torch.allclose(table, torch.tensor([signal(t) for t in range(T)]), rtol=1e-4, atol=1e-9)
    actions, noise = torch.randn(2, T, 8, 7, device=device)
    noisy = add_noise(actions, noise, torch.arange(T, device=device), T)
    kept = torch.tensor([signal(t) for t in range(T)], device=device)[:, None, None]
    assert noisy.device.type == device
    assert torch.allclose(noisy, kept.sqrt() * actions + (1.0 - kept).sqrt() * noise, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 33, 60, 99, 100])
def test_any_number_of_steps_visits_falling_levels_down_to_the_data(steps):
    levels = visited_levels(T, steps)
    assert len(levels) == steps
    assert all(a > b for a, b in zip(levels[:-1], levels[1:], strict=True))
    assert 0 <= levels[-1] <= 91 / steps and 90 <= levels[0] < T


def test_impossible_numbers_of_steps_are_refused():
    for steps in (0, 101):
        with pytest.raises(ValueError, match=f"expected 1 to 100 sampling steps, got {steps}"):
            visited_levels(T, steps)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("steps", [1, 7, 10, 100])
def test_ddim_is_that_of_the_paper(steps, device):
    def model_noise(x, t):
        return torch.tanh(x * (1.0 + 0.01 * t)) + 0.1

    sampler = make_sampler(DiffusionConfig(), steps)
    start = torch.randn(3, 8, 7, generator=torch.Generator().manual_seed(0)).to(device)
    x = start
    for index, t in enumerate(sampler.levels):
        x = sampler.step(index, model_noise(x, t), x)
    assert torch.allclose(x, ddim(model_noise, start, sampler.levels), atol=2e-4)


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
@pytest.mark.parametrize("steps", [1, 10, 100])
def test_a_model_that_knows_the_noise_finds_the_action(method, steps):
    action = torch.linspace(-1.0, 1.0, 56).reshape(1, 8, 7)
    sampler, generator = make_sampler(DiffusionConfig(), steps, method), torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 7, generator=generator)
    for index, t in enumerate(sampler.levels):
        noise = (x - math.sqrt(signal(t)) * action) / math.sqrt(1.0 - signal(t))
        x = sampler.step(index, noise, x, generator)
    assert torch.allclose(x, action, atol=1e-3)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_keys_and_values_computed_once_give_what_computing_them_in_every_step_gives(fusion):
    model, inputs = seeded(vla_config("diffusion", fusion)), batch(2)
    sampler, noise = make_sampler(model.config.diffusion, 5), torch.randn(2, 8, 7)
    with torch.inference_mode():
        cached = model.act(inputs, noise, sampler)
        x = noise
        for index, t in enumerate(sampler.levels):
            memory, mask = model.encoder(inputs)
            decoder = model.denoiser.decoder
            seen = model.denoiser(x, decoder.levels(torch.tensor([t])), decoder.condition(memory), mask)
            x = sampler.step(index, seen, x)
    assert torch.allclose(cached, x, atol=1e-4)


def test_many_samples_of_one_observation_share_its_condition():
    model, inputs = seeded(vla_config("diffusion")), batch(1)
    sampler, noise = make_sampler(model.config.diffusion, 3), torch.randn(5, 8, 7)
    with torch.inference_mode():
        together = model.act(inputs, noise, sampler)
        alone = torch.cat([model.act(inputs, noise[i : i + 1], sampler) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_same_generator_gives_the_same_loss_and_sample():
    model, inputs, actions = seeded(vla_config("diffusion")), batch(2), torch.randn(2, 8, 7)
    first, second, other = (
        model(inputs, actions, None, torch.Generator().manual_seed(seed)).per_sample for seed in (3, 3, 4)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    sampler, noise = make_sampler(model.config.diffusion, 4, "ddpm"), torch.randn(2, 8, 7)
    with torch.inference_mode():
        draws = [model.act(inputs, noise, sampler, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_the_loss_never_sees_masked_rows_and_actions_are_no_input():
    for expert in ("regression", "diffusion"):
        model, inputs, actions = seeded(vla_config(expert)), batch(2), torch.randn(2, 8, 7)
        rows = torch.arange(8).expand(2, 8) < 5
        wrong = torch.where(rows[..., None], actions, 100.0 * torch.ones(()))
        if expert == "regression":
            with torch.no_grad():
                assert torch.equal(model(inputs, wrong, rows).per_sample, model(inputs, actions, rows).per_sample)
                error = (model.act(inputs) - actions).abs()
                assert torch.allclose(model(inputs, actions).per_sample, error.mean(dim=(1, 2)))
        nothing = model(inputs, actions, torch.zeros(2, 8, dtype=torch.bool)).per_sample
        assert (nothing == 0.0).all()


def test_a_diffusion_expert_learns_two_answers_to_one_question():
    """Two ways around an obstacle: the mean of both is wrong, and a sample is one or the other."""
    torch.manual_seed(0)
    config = StateDiffusionConfig(
        state_dim=2, action_dim=1, n_obs_steps=1, horizon=4, n_action_steps=2, decoder=DecoderConfig(size="nano")
    )
    model = build_model(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    states = torch.zeros(48, 1, 2)
    for _ in range(80):
        side = torch.randint(2, (48, 1, 1)) * 2.0 - 1.0
        loss = model({"states": states}, side.expand(-1, 4, 1)).per_sample.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        noise = torch.randn(64, 4, 1, generator=torch.Generator().manual_seed(0))
        drawn = model.eval().act({"states": states[:1]}, noise, make_sampler(config.diffusion, 10))
    assert drawn.abs().median() > 0.7, "regression would answer 0"
    assert 0.15 < (drawn.mean(dim=(1, 2)) > 0).float().mean() < 0.85
    assert (drawn.sign().sum(dim=1).abs() == 4).float().mean() > 0.75, "the horizon agrees with itself"


def test_the_state_policy_mixes_across_the_horizon_and_its_steps():
    model = seeded(StateDiffusionConfig(state_dim=25, action_dim=6, decoder=DecoderConfig(size="nano")))
    denoiser, states = model.denoiser, torch.randn(1, 2, 25)
    with torch.inference_mode():
        memory, _ = model.encoder({"states": states})
        levels, condition = denoiser.decoder.levels(torch.tensor([50])), denoiser.decoder.condition(memory)
        noisy = torch.randn(1, 16, 6)
        before = denoiser(noisy, levels, condition, None)
        pushed = noisy.clone()
        pushed[:, 15] += 1.0
        assert (denoiser(pushed, levels, condition, None) - before)[:, 0].abs().max() > 1e-4
        swapped, _ = model.encoder({"states": states.flip(1)})
        other = denoiser(noisy, levels, denoiser.decoder.condition(swapped), None)
    assert not torch.allclose(other, before, atol=1e-4), "the order of the states matters"
    assert before.shape == (1, 16, 6)


def test_a_horizon_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match=r"n_obs_steps - 1 \+ n_action_steps = 9, got 8"):
        StateDiffusionConfig(state_dim=2, action_dim=2, horizon=8)
