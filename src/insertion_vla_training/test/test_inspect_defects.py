"""Planted defects of episodes are found by the checks meant for them, and by no others; good ones are clean."""

import numpy as np
import pytest
from insertion_vla_training.inspection.bounds import bounds_of
from insertion_vla_training.inspection.episode import measured_of
from insertion_vla_training.inspection.relative import checks_of
from insertion_vla_training.inspection.seen import look_at
from insertion_vla_training.stores.store import Store
from inspect_rig import LIMITS, NS, blurred, feature, good, make_store, without


def slow_joints(made):
    without(made.streams["joints"], np.arange(0, 400, 8))


def silent_force(made):
    gone = np.arange(900, 1200)
    without(made.streams["force"], gone)
    made.alines = np.delete(made.alines, gone, axis=0)


def lost_images(made):
    without(made.views["hand"], [5, 9, 13])


def blurry_images(made):
    made.views["front"]["blobs"][6:10] = [blurred(data) for data in made.views["front"]["blobs"][6:10]]


def frozen_camera(made):
    made.views["side"]["blobs"][8:13] = [made.views["side"]["blobs"][8]] * 5


def damaged_image(made):
    made.views["hand"]["blobs"][3] = b"\xff\xd8 no picture at all"


def drifting_force(made):
    force = made.streams["force"]["values"]
    force += np.linspace(0.0, 0.4, len(force))[:, None]


def untared_force(made):
    made.streams["force"]["values"] -= 0.5


def saturated_force(made):
    np.minimum(made.streams["force"]["values"], 0.3, out=made.streams["force"]["values"])


def stuck_force(made):
    made.streams["force"]["values"][1000:1300] = 0.0123


def force_without_numbers(made):
    made.streams["force"]["values"][700:1100] = np.nan


def lost_alines(made):
    made.alines[300:900] = np.nan


def step_in_a_chunk(made):
    made.chunks["data"][10, 4:, 1] += 0.008


def jump_between_chunks(made):
    made.chunks["anchor"][12, 0] += 0.006


def turn_in_a_chunk(made):
    made.chunks["data"][10, 4:, 3] += 0.2


def turn_between_chunks(made):
    made.chunks["anchor"][12, 3:] = [0.1, 0.0, 0.0, 0.995]


def clock_ahead(made):
    made.streams["joints"]["receive"] -= NS // 50


def late_pose(made):
    made.streams["tool_pose"]["receive"] += NS // 10


def drifting_clock(made):
    pose = made.streams["tool_pose"]
    pose["receive"] += (0.01 * (pose["stamps"] - pose["stamps"][0])).astype(np.int64)


def old_features(made):
    without(made.features, np.arange(3, 10))


def no_features(made):
    without(made.features, np.arange(10))


def features_for_another_instruction(made):
    rng = np.random.default_rng(0)
    stamps = made.features["stamps"].tolist()
    made.features["blobs"] = [feature(stamp, "open the door", rng) for stamp in stamps]


def no_label(made):
    made.about |= {"outcome": "unknown"}


def no_instruction(made):
    made.about |= {"instruction": ""}
    rng = np.random.default_rng(0)
    made.features["blobs"] = [feature(stamp, "", rng) for stamp in made.features["stamps"].tolist()]


def left_running(made):
    made.duration_s = 40.0


def marked_as_bad(made):
    made.about |= {"bad": True, "reasons": ("images were lost",)}


DEFECTS = {
    slow_joints: {("rate", "joints"), ("dropped", "joints")},
    silent_force: {("rate", "force"), ("gap", "force"), ("dropped", "force")},
    lost_images: {("rate", "hand"), ("dropped", "hand")},
    blurry_images: {("blurry", "front")},
    frozen_camera: {("frozen", "side")},
    damaged_image: {("decodable", "hand")},
    drifting_force: {("force_drift", "force")},
    untared_force: {("baseline", "force")},
    saturated_force: {("saturated", "force")},
    stuck_force: {("stuck", "force")},
    force_without_numbers: {("complete", "force")},
    lost_alines: {("alines", "force")},
    step_in_a_chunk: {("step", "action")},
    jump_between_chunks: {("jump", "action")},
    turn_in_a_chunk: {("step_turn", "action")},
    turn_between_chunks: {("jump_turn", "action")},
    clock_ahead: {("offset", "joints")},
    late_pose: {("offset", "tool_pose")},
    drifting_clock: {("clock_drift", "tool_pose")},
    old_features: {("age", "features")},
    no_features: {("features", "features")},
    features_for_another_instruction: {("age", "features")},
    no_label: {("label", "")},
    no_instruction: {("label", "")},
    left_running: {("duration", "")},
    marked_as_bad: {("recording", "")},
}
# Several defects that have nothing to do with each other share an episode: making one takes half a second.
TOGETHER = (
    (slow_joints, lost_images, stuck_force, step_in_a_chunk),
    (silent_force, blurry_images, late_pose, turn_between_chunks),
    (frozen_camera, damaged_image, drifting_force, clock_ahead),
    (untared_force, lost_alines, jump_between_chunks, drifting_clock, old_features),
    (saturated_force, turn_in_a_chunk, no_features, no_label),
    (force_without_numbers, features_for_another_instruction, left_running),
    (no_instruction, marked_as_bad),
)
GOOD = ("good_0", "good_1", "good_2", "good_3")


def name_of(plants):
    return "+".join(plant.__name__ for plant in plants)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What is not good, by the name of the episode: all checks that failed."""
    episodes = [good(name, seed) for seed, name in enumerate(GOOD)]
    for seed, plants in enumerate(TOGETHER):
        episodes.append(good(name_of(plants), 100 + seed))
        for plant in plants:
            plant(episodes[-1])
    store = Store.open(make_store(tmp_path_factory.mktemp("store") / "store", episodes))
    measured = [measured_of(look_at(store, episode, LIMITS), "", {}) for episode in store.episodes()]
    bounds = bounds_of(store.contract, LIMITS, store.episodes(), measured)
    return {
        episode.name: [check for check in checks_of(store.contract, episode, one, bounds) if not check.ok]
        for episode, one in zip(store.episodes(), measured, strict=True)
    }


@pytest.mark.parametrize("plants", TOGETHER, ids=name_of)
def test_defects_are_found_by_their_checks_and_by_no_others(found, plants):
    bad = found[name_of(plants)]
    expected = set().union(*(DEFECTS[plant] for plant in plants))
    assert {(check.name, check.subject) for check in bad} == expected, [check.sentence for check in bad]
    assert all("; expected " in check.sentence and check.sentence.endswith(".") for check in bad)


def test_every_defect_is_planted():
    assert sorted(map(name_of, [(plant,) for plants in TOGETHER for plant in plants])) == sorted(
        plant.__name__ for plant in DEFECTS
    )


@pytest.mark.parametrize("name", GOOD)
def test_a_good_episode_is_clean(found, name):
    assert [check.sentence for check in found[name]] == []


@pytest.mark.parametrize(
    "plant, words",
    [
        (lost_images, "'hand' misses 3 of 20 rows, the first 0.8 s after its start; expected at most 1 rows"),
        (frozen_camera, "'side' repeated one picture for 0.8 s, 1.6 s after its first image; expected at most 0.6 s"),
        (stuck_force, "exactly 0.0123 for 0.46 s; expected at most 0.25 s: the sensor or its driver"),
        (blurry_images, "4 of 20 images of 'front' are blurry"),
        (jump_between_chunks, "from one chunk to the next, 1.7 s after the start; expected at most 4 mm"),
        (late_pose, " ms after its stamp; expected -2 ms to 50 ms: synchronise the clocks (chrony)"),
        (no_label, "lacks an outcome; expected an outcome (success, failure) and an instruction: label it"),
        (marked_as_bad, "images were lost; expected an episode that is fit for training: record it again"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_sentence_says_what_came_where_and_what_to_do(found, plant, words):
    (name,) = (name for name in found if plant.__name__ in name.split("+"))
    assert any(words in check.sentence for check in found[name])
