"""What is masked has no influence, what is there has, in every combination of fusion and expert."""

import time

import numpy as np
import pytest
import torch
from insertion_vla_policy.encoders import ForceEncoder
from insertion_vla_policy.experts.noise import make_sampler
from insertion_vla_policy.inputs import input_spec
from model_rig import FUSIONS, SPEC, batch, random_batch, seeded, vla_config
from observation_rig import CONTRACT, DIM, TOKENS

MASKED = ("force", "history", "features", "feature_age", "tool_motion")
VALUES = ("state", *MASKED)


def act(model, inputs):
    with torch.inference_mode():
        if model.config.expert == "regression":
            return model.act(inputs)
        noise = torch.randn((1, 8, 7), generator=torch.Generator().manual_seed(1)).expand(len(inputs["state"]), -1, -1)
        return model.act(inputs, noise, make_sampler(model.config.diffusion, 2))


def changed(inputs, name, value=None):
    """With other numbers in one input; with `value`, only where it is masked."""
    result = dict(inputs)
    if value is None:
        result[name] = inputs[name] + 0.5
    else:
        mask = inputs[f"{name}_mask"]
        mask = mask if mask.ndim == inputs[name].ndim else mask[..., None]
        result[name] = torch.where(mask, inputs[name], value)
    return result


@pytest.mark.parametrize("expert", ["regression", "diffusion"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_input_matters_but_for_the_force_without_fusion(expert, fusion):
    model, inputs = seeded(vla_config(expert, fusion)), batch()
    before = act(model, inputs)
    for name in VALUES:
        same = torch.equal(act(model, changed(inputs, name)), before)
        assert same == (fusion == "none" and name in ("force", "history")), name


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_masked_slot_never_acts_as_data(fusion, value):
    model, inputs = seeded(vla_config(fusion=fusion)), batch()
    inputs["force_mask"][:, 10:30] = False
    inputs["history_mask"][:, 5:9, 0] = False
    inputs["history_mask"][:, 20:, 1] = False
    inputs["features_mask"][:, 4:] = False
    inputs["feature_age_mask"][:] = False
    inputs["tool_motion_mask"][:] = False
    before = act(model, inputs)
    assert torch.isfinite(before).all()
    for name in MASKED:
        assert torch.equal(act(model, changed(inputs, name, value)), before), name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_absent_is_another_thing_than_zero(fusion):
    model, inputs = seeded(vla_config(fusion=fusion)), batch()
    for name in MASKED:
        if fusion == "none" and name in ("force", "history"):
            continue
        zero = {**inputs, name: torch.zeros_like(inputs[name])}
        absent = {**zero, f"{name}_mask": torch.zeros_like(inputs[f"{name}_mask"])}
        assert not torch.allclose(act(model, zero), act(model, absent), atol=1e-5), name


@pytest.mark.parametrize("expert", ["regression", "diffusion"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_with_every_optional_stream_missing_it_still_acts(expert, fusion):
    blind = {"feature_age_ms": None, "surface": False}
    model, inputs = seeded(vla_config(expert, fusion)), batch(**blind)
    assert not inputs["features_mask"].any() and not inputs["history_mask"][..., 1].any()
    inputs["force_mask"][:] = False
    inputs["history_mask"][:] = False
    assert torch.isfinite(act(model, inputs)).all()
    assert torch.isfinite(model(inputs, torch.zeros(2, 8, 7)).per_sample).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_combination_trains(fusion):
    for expert in ("regression", "diffusion"):
        torch.manual_seed(0)
        model, inputs = seeded(vla_config(expert, fusion)).train(), batch(4)
        actions = torch.tanh(torch.linspace(-1, 1, 4)[:, None, None] * torch.ones(4, 8, 7))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses = []
        for _ in range(12):
            loss = model(inputs, actions).per_sample.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert not unused, "data-parallel training needs a gradient for every parameter"
        assert np.mean(losses[-3:]) < np.mean(losses[:3]), (expert, losses)


def test_a_policy_that_does_not_see_has_no_eyes():
    spec = input_spec(CONTRACT, 0, 0)
    model = seeded(vla_config(spec=spec))
    assert torch.isfinite(act(model, batch(spec=spec))).all()
    assert not any("features" in name for name, _ in model.named_parameters())


def test_order_and_number_of_samples_in_a_batch_do_not_matter():
    model, inputs = seeded(vla_config("diffusion")), batch(3)
    inputs["features_mask"][1, 2:] = False
    together = act(model, inputs)
    alone = act(model, {name: value[1:2] for name, value in inputs.items()})
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 6, 1026])
def test_the_force_encoder_takes_any_number_of_channels_in_time(channels):
    spec = SPEC.model_copy(update={"force_channels": channels})
    encoder, inputs = ForceEncoder(spec, hidden=256, heads=4).eval(), random_batch(spec)
    with torch.inference_mode():
        assert encoder(inputs).shape == (1, 13 + 8, 256)
        fastest = min(timed(encoder, inputs) for _ in range(20))
    # 0.7 ms on a quiet core: the bound of 5 ms holds on a busy one, too.
    assert fastest < 5e-3


def timed(encoder, inputs) -> float:
    started = time.perf_counter()
    encoder(inputs)
    return time.perf_counter() - started


def test_the_encoder_knows_when_a_force_came():
    model, inputs = seeded(vla_config()), batch(1)
    turned = {**inputs, "force": inputs["force"].flip(1)}
    assert not torch.allclose(act(model, inputs), act(model, turned), atol=1e-6)


def test_tokens_know_their_place():
    model, inputs = seeded(vla_config()), batch(1)
    turned = {**inputs, "features": inputs["features"].flip(1)}
    assert not torch.allclose(act(model, inputs), act(model, turned), atol=1e-6)
    assert (TOKENS, DIM) == inputs["features"].shape[1:]
