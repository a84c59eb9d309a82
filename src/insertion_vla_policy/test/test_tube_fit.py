"""The tube is found from rays, also when a ray is wrong."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_policy.experts.trocar_estimate import KEY_POINTS
from insertion_vla_policy.experts.tube_fit import Sighting, fit_tube

CAMERAS = np.array([[0.26, 0.09, 0.19], [0.24, -0.10, 0.19], [0.17, 0.0, 0.22]])
DOWN = np.array([0.0, 0.0, -1.0])


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def sightings_of(mouth: np.ndarray, axis: np.ndarray) -> list[Sighting]:
    """Perfect rays of all key points from all cameras."""
    seen = []
    for camera in CAMERAS:
        across = camera - mouth
        across = unit(across - (across @ axis) * axis)
        for along, out in KEY_POINTS:
            point = mouth + along * axis + out * across
            seen.append(Sighting(camera, unit(point - camera), along, out, sigma=1e-4))
    return seen


tilts = st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
places = st.tuples(st.floats(0.15, 0.21), st.floats(-0.02, 0.02), st.floats(0.05, 0.09))


@settings(max_examples=60, deadline=None)
@given(place=places, tilt=tilts)
def test_perfect_rays_give_the_tube(place: tuple, tilt: tuple) -> None:
    mouth, axis = np.array(place), unit(np.array([*tilt, -1.0]))
    tube = fit_tube(sightings_of(mouth, axis), DOWN)
    assert np.linalg.norm(tube.mouth - mouth) < 5e-5
    assert np.degrees(np.arccos(np.clip(tube.axis @ axis, -1, 1))) < 0.3
    assert tube.residual < 0.2


@settings(max_examples=60, deadline=None)
@given(place=places, tilt=tilts, wrong=st.integers(0, 2), shift=st.floats(0.003, 0.02))
def test_one_wrong_mouth_is_outvoted(place: tuple, tilt: tuple, wrong: int, shift: float) -> None:
    mouth, axis = np.array(place), unit(np.array([*tilt, -1.0]))
    seen = sightings_of(mouth, axis)
    ray = seen[2 * wrong]
    aside = unit(np.cross(ray.direction, [0.3, 0.5, 0.8]))
    bad = unit(mouth + shift * aside - ray.origin)
    seen[2 * wrong] = Sighting(ray.origin, bad, ray.along, ray.out, ray.sigma)
    assert np.linalg.norm(fit_tube(seen, DOWN).mouth - mouth) < 1e-3
