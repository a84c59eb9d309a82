"""The classical policy inserts on what it sees and feels: closed loop in lock-step, rendered images, no ROS."""

from pathlib import Path

import pytest
import yaml
from insertion_vla_core.contract import load_contract
from insertion_vla_core.limits import load_limits
from insertion_vla_policy.registry import load_policy
from insertion_vla_sim.lockstep import Episode, Lockstep
from insertion_vla_sim.render import make_renderer

CONFIG = Path(__file__).resolve().parents[3] / "config"


def play(seed: int, calibration: Path) -> tuple[Episode, list[str]]:
    """The episode and the sequence of what the expert said it was doing."""
    backbone, expert = load_policy("visual_servo", calibration)
    lockstep = Lockstep(
        seed,
        limits=load_limits(CONFIG / "limits.yaml"),
        contract=load_contract(CONFIG / "contracts" / "insertion.yaml"),
        policy=expert,
        backbone=backbone,
        renderer=make_renderer(None, "rays"),
    )
    said: list[str] = []
    while not lockstep.ended:
        lockstep.step()
        if not said or lockstep.status != said[-1]:
            said.append(lockstep.status)
    return lockstep.run(), said


@pytest.mark.parametrize("seed", [3, 6])
def test_the_needle_touches_the_membrane_of_the_named_trocar(seed: int) -> None:
    episode, said = play(seed, CONFIG / "calibration" / "sim.yaml")
    assert episode.success, episode.reason
    assert episode.truth.overshoot_m <= 0.0005
    assert episode.truth.peak_force_n < 0.5
    assert not any(status.startswith("search") for status in said), "a good calibration needs no search"


def test_a_calibration_two_millimetres_off_is_made_good_by_the_search(tmp_path: Path) -> None:
    content = yaml.safe_load((CONFIG / "calibration" / "sim.yaml").read_text())
    for view in content["views"].values():
        view["position"][0] += 0.0015
    for name in ("front", "side"):
        content["views"][name]["position"][1] += 0.001
    shifted = tmp_path / "shifted.yaml"
    shifted.write_text(yaml.safe_dump(content))
    episode, said = play(3, shifted)
    assert any(status.startswith("search") for status in said), said
    assert episode.success, episode.reason
    assert episode.truth.peak_force_n < 2.0
