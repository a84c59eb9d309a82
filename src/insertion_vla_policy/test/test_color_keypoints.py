"""Key points on stored pictures of the simulated bench, with the true pixel of every mouth in data/mouths.json."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from insertion_vla_policy.backbones.color_keypoints import ColorKeypoints, colour_of
from insertion_vla_policy.protocol import Image
from insertion_vla_policy.registry import load_policy

DATA = Path(__file__).parent / "data"
MOUTHS = json.loads((DATA / "mouths.json").read_text())


def picture(name: str) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(DATA / name)), cv2.COLOR_BGR2RGB)


def test_mouths_are_found_to_a_fraction_of_a_pixel() -> None:
    errors, asked = [], 0
    for name, mouths in MOUTHS.items():
        rgb = picture(name)
        for colour, true in mouths.items():
            features = ColorKeypoints().encode([Image("view", 1, rgb)], f"insert the needle into the {colour} trocar")
            kind, u, v, confidence = features.tokens[0, 1:5]
            assert kind == 0
            asked += 1
            if confidence > 0.5:
                errors.append(float(np.hypot(u * 320 - 0.5 - true[0], v * 180 - 0.5 - true[1])))
    assert len(errors) >= 0.75 * asked, "most mouths are in plain view"
    assert np.median(errors) < 0.35
    assert np.mean(np.array(errors) < 1.0) > 0.9


def test_an_empty_picture_has_no_key_points() -> None:
    blank = np.full((180, 320, 3), 128, np.uint8)
    features = ColorKeypoints().encode([Image("front", 1, blank)], "insert the needle into the red trocar")
    assert features.tokens.shape == (2, 8)
    assert np.all(features.tokens[:, 4] == 0.0), "confidence 0 says missing"
    assert np.all(np.isfinite(features.tokens))


@pytest.mark.parametrize(
    "instruction", ["insert the needle", "into the red or the blue trocar", "into the redder one", ""]
)
def test_an_instruction_must_name_one_colour(instruction: str) -> None:
    with pytest.raises(ValueError, match="expected an instruction that names one of the colours red, green, blue"):
        colour_of(instruction)


def test_a_grey_or_float_picture_is_refused_by_view() -> None:
    for wrong in (np.zeros((180, 320), np.uint8), np.zeros((180, 320, 3), np.float32)):
        with pytest.raises(ValueError, match="expected view 'side' as uint8"):
            ColorKeypoints().encode([Image("side", 1, wrong)], "the red trocar")


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="expected policy to be one of .*visual_servo.*got 'visual_serve'"):
        load_policy("visual_serve", "unused.yaml")
