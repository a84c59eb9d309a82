import time

import numpy as np
import pytest
from insertion_vla_core.geometry import matrix_from_quaternion, pose_delta
from insertion_vla_core.observation import Missing, Observation, Window
from insertion_vla_policy.inputs import InputSpec, build_inputs, input_spec
from observation_rig import CONTRACT, DIM, MS, START_NS, TICK_NS, TOKENS, builder, observation, tool_at

from insertion_vla_policy import inputs

SPEC = input_spec(CONTRACT, TOKENS, DIM)


def with_force(seen: Observation, change) -> Observation:
    force: Window = seen.streams["force"]
    values, mask = force.values.copy(), force.mask.copy()
    change(values, mask)
    values[~mask] = np.nan
    return Observation(
        seen.stamp_ns, {**seen.streams, "force": Window(force.stamps_ns, values, mask)}, dict(seen.newest_ns)
    )


def test_the_inputs_have_the_shapes_of_the_spec_and_are_finite():
    built = build_inputs(observation(), SPEC)
    assert {name: array.shape for name, array in built.items()} == SPEC.shapes()
    for name, array in built.items():
        assert array.dtype == (bool if name.endswith("_mask") else np.float32), name
        assert np.isfinite(array).all(), name
    assert all(built[name].all() for name in built if name.endswith("_mask"))


def test_the_state_is_the_newest_joints_and_tool_pose():
    seen = observation()
    state = build_inputs(seen, SPEC)["state"]
    assert np.allclose(state[:6], seen.streams["joints"].values[-1])
    pose = tool_at(TICK_NS)
    assert np.allclose(state[6:9], pose.position, atol=1e-6)
    assert np.allclose(np.reshape(state[9:], (2, 3)).T, pose.rotation[:, :2], atol=1e-6)


def test_the_force_window_is_the_newest_tenth_of_a_second_with_its_gaps_masked():
    seen = with_force(observation(), lambda values, mask: mask.__setitem__(slice(600, 610), False))
    built = build_inputs(seen, SPEC)
    assert (~built["force_mask"]).nonzero()[0].tolist() == list(range(15, 25))
    assert np.allclose(built["force"][built["force_mask"]], seen.streams["force"].values[-65:][built["force_mask"]])
    assert (built["force"][15:25] == 0.0).all()


def test_the_history_is_the_mean_of_the_samples_there_are():
    def change(values, mask):
        values[-20:, 0] = np.arange(20)
        mask[-5:] = False  # of the newest step
        mask[-40:-20] = False  # all of the step before

    built = build_inputs(with_force(observation(), change), SPEC)
    assert built["history"][-1, 0] == pytest.approx(np.arange(15).mean())
    assert built["history_mask"][-3:, 0].tolist() == [True, False, True]
    assert built["history_mask"][:, 1].all()


def test_a_missing_optional_stream_is_masked():
    built = build_inputs(observation(surface=False), SPEC)
    assert not built["history_mask"][:, 1].any() and built["history_mask"][:, 0].all()
    blind = build_inputs(observation(feature_age_ms=None), SPEC)
    for name in ("features_mask", "feature_age_mask", "tool_motion_mask"):
        assert not blind[name].any(), name


def test_fewer_tokens_than_the_spec_allows_are_masked():
    built = build_inputs(observation(), input_spec(CONTRACT, TOKENS + 2, DIM))
    assert built["features_mask"].tolist() == [True] * TOKENS + [False] * 2


@pytest.mark.parametrize("age_ms", [0.0, 4.3, 300.0, 1199.0])
def test_the_tool_motion_leads_from_the_image_to_now(age_ms):
    built = build_inputs(observation(feature_age_ms=age_ms), SPEC)
    assert built["feature_age"][0] == pytest.approx(age_ms / 1e3, abs=1e-6)
    then, now = tool_at(TICK_NS - round(age_ms * MS)), tool_at(TICK_NS)
    assert np.allclose(built["tool_motion"], pose_delta(then, now), atol=1e-6)
    assert built["tool_motion_mask"].all()


def test_the_tool_motion_is_unknown_across_a_gap_and_before_the_window():
    seen = observation()
    poses: Window = seen.streams["tool_pose"]
    gap = poses.mask.copy()
    gap[-40:-20] = False  # 200 to 400 ms ago, where the image is
    holed = Window(poses.stamps_ns, np.where(gap[:, None], poses.values, np.nan), gap)
    assert inputs.tool_motion(holed, TICK_NS - 300 * MS, SPEC.pose_gap_s) is None
    assert inputs.tool_motion(poses, TICK_NS - 2100 * MS, SPEC.pose_gap_s) is None
    assert inputs.tool_motion(poses, TICK_NS - 300 * MS, SPEC.pose_gap_s) is not None


def test_a_robot_state_without_numbers_holds():
    result = builder()
    result.push("joints", TICK_NS + 5 * MS, TICK_NS + 5 * MS, [np.nan] * 6)
    with pytest.raises(Missing, match="'joints' is missing: its newest row holds no number"):
        build_inputs(result.build(TICK_NS + 8 * MS), SPEC)


def test_features_of_another_backbone_are_refused():
    with pytest.raises(ValueError, match=r"of 12 numbers, got shape \(6, 8\): run the backbone"):
        build_inputs(observation(), input_spec(CONTRACT, TOKENS, 12))
    with pytest.raises(ValueError, match=r"at most 4 tokens of 8 numbers, got shape \(6, 8\)"):
        build_inputs(observation(), input_spec(CONTRACT, 4, DIM))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"force_window_s": 2.0}, "at most 1 s of 'force', got 2 s"),
        ({"history_hz": 30.0}, "divides the 650 Hz of 'force', got 30 Hz"),
        ({"history_s": 2.0}, "at most 1 s of 'force'"),
    ],
)
def test_a_window_that_the_contract_does_not_have_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        input_spec(CONTRACT, TOKENS, DIM, **options)


def test_nothing_after_the_tick_is_seen():
    early, late = builder(), builder()
    late.push("joints", TICK_NS + 1, TICK_NS, [9.0] * 6)
    late.push("force", TICK_NS + 1, TICK_NS, [9.0])
    first, second = (build_inputs(b.build(TICK_NS), SPEC) for b in (early, late))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_an_action_goes_there_and_back():
    rng = np.random.default_rng(0)
    deltas, aux = rng.normal(size=(8, 6)).astype(np.float32), np.linspace(0, 2, 8, dtype=np.float32)
    back, back_aux = inputs.deltas_and_aux(inputs.action_target(deltas, aux))
    assert np.array_equal(back, deltas) and np.array_equal(back_aux, aux)
    far = inputs.action_target(deltas, aux + 5.0)
    assert (inputs.deltas_and_aux(far)[1] == 2.5).all()
    far[3, 2] = np.nan
    assert np.isnan(inputs.deltas_and_aux(far)[0][3, 2]), "a number that is none stays none, for the gate to refuse"
    with pytest.raises(ValueError, match=r"shape \(8, 7\), got \(7, 7\)"):
        inputs.deltas_and_aux(far[:7])


def test_a_spec_is_read_strictly():
    values = SPEC.model_dump()
    assert InputSpec.model_validate(values) == SPEC
    with pytest.raises(ValueError):
        InputSpec.model_validate({**values, "force_rows": 0})


def test_building_is_cheap():
    seen = observation()
    build_inputs(seen, SPEC)
    started = time.perf_counter()
    for _ in range(200):
        build_inputs(seen, SPEC)
    # 0.1 ms on a quiet core; the bound only catches a loop over samples.
    assert (time.perf_counter() - started) / 200 < 2e-3


def test_the_pose_of_the_rig_is_that_of_the_quaternion():
    row = observation().streams["tool_pose"].values[-1]
    assert np.allclose(matrix_from_quaternion(row[3:7]), tool_at(TICK_NS).rotation) and START_NS < TICK_NS
