import torch
from insertion_vla_policy.ema import Ema
from torch import nn


def test_the_average_follows_the_weights_and_stays_behind():
    model = nn.Linear(2, 1)
    ema = Ema(model, decay=0.9)
    start = model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 1.0
    for _ in range(3):
        ema.update(model)
    moved = (ema.weights["weight"] - start) / 1.0
    # (1 + n) / (10 + n) until it reaches the decay: 2/11, 3/12, 4/13 of the distance are left after each update.
    assert torch.allclose(moved, torch.full_like(moved, 1.0 - 2 / 11 * 3 / 12 * 4 / 13), atol=1e-6)
    for _ in range(200):
        ema.update(model)
    assert torch.allclose(ema.weights["weight"], model.weight, atol=1e-4)
    assert ema.updates == 203


def test_the_average_is_a_copy():
    model = nn.Linear(2, 1)
    ema = Ema(model)
    before = ema.weights["bias"].clone()
    with torch.no_grad():
        model.bias += 5.0
    assert torch.equal(ema.weights["bias"], before)
