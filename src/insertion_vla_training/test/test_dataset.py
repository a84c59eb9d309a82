"""Samples of a store are what the live policy saw, with features as old as live ones."""

import pickle

import cv2
import numpy as np
import pytest
from bag_rig import CONTRACT, START_NS
from episode_rig import NS, TYPES, chunk, messages, write_episode
from image_rig import LATENCY_S, PERIOD_S, cached, stored, with_pictures
from insertion_vla_core.geometry import Pose, apply_delta, exp_so3, matrix_from_quaternion, pose_delta
from insertion_vla_core.observation import Entry, Observation
from insertion_vla_policy.inputs import build_inputs
from insertion_vla_policy.protocol import Features
from insertion_vla_training.bags import local_type
from insertion_vla_training.caching.images import SetImages
from insertion_vla_training.caching.sets import image_sets
from insertion_vla_training.datasets.ages import FeatureAges
from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.preprocess import preprocess
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.feature_blob import decode_features
from insertion_vla_training.stores.offline import replay
from insertion_vla_training.stores.store import Store

WHITE = cv2.imencode(".jpg", np.full((180, 320, 3), 255, np.uint8))[1].tobytes()
TRAIN, NAN = {"a": 1, "c": 2}, float("nan")  # names that the split puts into training, and their seeds


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two episodes in training and one in validation, all with the features of a live vlm node."""
    episodes = {name: with_pictures(seed=seed) for name, seed in {**TRAIN, "k": 3}.items()}
    made = stored(tmp_path_factory.mktemp("dataset"), episodes)
    assert [e.split for e in made.episodes()] == ["train", "train", "val"]
    cached(made)
    return made


def opened(store, split="train", **options):
    name = next((store.path / "cache" / "features").iterdir()).name
    return TrainingSet([DataSource(store=str(store.path))], split, **{"features": name, **options})


def entry_of(tokens, sets, index):
    features = Features(tokens, "", sets.views, tuple(sets.stamps[index].tolist()), "m", "h", 0.0)
    return Entry(features.stamp_ns, features)


def test_every_sample_is_what_the_replay_gives_bit_for_bit(store):
    data = opened(store)
    assert len(data) > 30 and len(data.episodes) == 2
    seen_sets = set()
    for each in data.episodes:
        start = sum(len(e.rows) for e in data.episodes[: data.episodes.index(each)])
        ticks = each.file.arrays["ticks"][each.rows].tolist()
        assert set(ticks) <= set(store.chunks(each.episode)["stamps"].tolist())
        replayed = list(replay(store, each.episode, ticks, payloads=False))
        for row, (t_ns, seen) in enumerate(replayed):
            for share in (0.0, 0.37, 0.999):
                sample = data[start + row, share]
                # The entry, from the definition: the newest set that was ready when the vlm node looked.
                age = np.sort(each.file.arrays["recorded_age"])[int(share * len(each.file.arrays["ticks"]))]
                index = max(i for i in range(len(each.sets)) if each.sets.ready[i] <= t_ns - age or i == 0)
                entry = entry_of(each.features.tokens(index), each.sets, index)
                expected = build_inputs(Observation(t_ns, {**seen.streams, "features": entry}, {}), data.spec)
                assert sample["stamp"] == t_ns and sample["index"] == start + row
                for name, array in expected.items():
                    assert sample[name].dtype == array.dtype and sample[name].tobytes() == array.tobytes(), name
                seen_sets.add((each.episode.name, index))
    # Features differ from set to set, so that a wrong one would show.
    assert len({each.features.tokens(i).tobytes() for each in data.episodes for i in range(len(each.sets))}) > 20
    assert len(seen_sets) > 15 and sample["tool_motion_mask"].all()


def test_validation_takes_the_features_that_were_live(store):
    data = opened(store, "val")
    episode = store.episode("k")
    blobs = store.payloads("features", episode)
    live = 0
    for index in range(len(data)):
        sample = data[index, 0.5]  # a share changes nothing
        newest = int(np.searchsorted(blobs.receive, sample["stamp"], side="right")) - 1
        if newest < 0:
            continue
        features = decode_features(blobs.blob(newest))
        assert np.array_equal(sample["features"], features.tokens), index
        assert sample["feature_age"][0] == np.float32((sample["stamp"] - features.stamp_ns) * 1e-9)
        live += 1
    assert live > 15


def test_ages_are_drawn_from_those_of_the_live_features(store):
    data = opened(store)
    each, shares = data.episodes[0], np.linspace(0, 0.999, 40)
    ages = [float(data[10, share]["feature_age"][0]) for share in shares]
    assert ages == sorted(ages) and len(set(ages)) >= 2
    # The vlm node took its images between latency and latency + period before the tick, of pictures 5 times a second.
    image_age = ages - np.float64(0.2)
    assert min(ages) >= LATENCY_S - 0.001 and max(image_age) <= LATENCY_S + PERIOD_S + 0.05
    recorded = each.file.arrays["recorded_age"] * 1e-9
    assert recorded.min() >= LATENCY_S - 1e-6 and recorded.max() <= LATENCY_S + PERIOD_S + 0.02


def test_without_recorded_features_ages_are_uniform_and_validation_runs_a_vlm_of_its_own(tmp_path):
    store = stored(tmp_path, {"a": with_pictures(live=False, aline_bins=0)})
    cached(store)
    ages = FeatureAges(latency_s=0.5, period_s=0.4)
    data = opened(store, ages=ages)
    each = data.episodes[0]
    for index in range(0, len(data), 5):
        t_ns, row = int(data[index]["stamp"]), int(each.rows[index])
        for share in (0.0, 0.5, 0.99):
            chosen = each.ages.draw(row, share)
            ready = each.sets.ready[chosen]
            due = t_ns - round((0.5 + share * 0.4) * NS)
            assert ready <= due or chosen == each.ages.drawable.first[row]
            assert chosen + 1 == len(each.sets) or each.sets.ready[chosen + 1] > due or ready > due
        live = each.ages.draw(row, NAN)
        encoding = t_ns - round(0.5 * NS) - (t_ns - round(0.5 * NS) - int(each.sets.ready[0])) % round(0.4 * NS)
        assert live == max(i for i in range(len(each.sets)) if each.sets.ready[i] <= encoding)
    # The first ticks come before any features.
    assert data.left_out >= 1 and data[0]["stamp"] > START_NS + 0.54 * NS


def test_a_spike_in_the_future_is_in_no_sample_before_it(store, tmp_path):
    tick = START_NS + round(1.55 * NS)

    def spiked(topic, receive_ns, data):
        kind = local_type(TYPES[topic])
        message = kind.decode(data)
        if topic == "/joint_states":
            changes = {"position": np.full(6, 1e6)}
        elif topic == "/force/samples":
            changes = {"force": np.full(10, 1e6, np.float32), "alines": message.alines[::-1].copy()}
        elif topic == "/tool_pose":
            point = type(message.pose.position)(x=1e6, y=1e6, z=1e6)
            changes = {"pose": type(message.pose)(position=point, orientation=message.pose.orientation)}
        elif topic.endswith("compressed"):
            changes = {"data": np.frombuffer(WHITE, np.uint8)}
        else:
            return topic, receive_ns, data
        return topic, receive_ns, kind.encode(type(message)(**{**vars(message), **changes}))

    later = stored(tmp_path, {"a": [spiked(*e) if e[1] > tick else e for e in with_pictures(seed=TRAIN["a"])]})
    cached(later)
    batches = {}
    for name, found in (("plain", store), ("later", later)):
        # Not the recorded ages: they are of the whole episode.
        data = opened(found, ages=FeatureAges(source="uniform", latency_s=0.0))
        assert data.episodes[0].episode.name == "a"
        rows = range(len(data.episodes[0].rows))
        before = [i for i in rows if data[i]["stamp"] <= tick]
        batches[name] = [data.batch(before, [share] * len(before)) for share in (0.0, 0.5)] + [data[rows[-1]]]
    for left, right in zip(batches["plain"][:2], batches["later"][:2], strict=True):
        assert len(left["index"]) > 8
        for array in left:
            assert left[array].tobytes() == right[array].tobytes(), array
    assert batches["later"][2]["state"][0] == 1e6 and not batches["later"][2]["features"][:, 4].any()


def test_labels_are_the_experts_chunks_against_the_measured_pose(store, tmp_path):
    data = opened(store)
    each = data.episodes[0]
    chunks = store.chunks(each.episode)
    seen = dict(replay(store, each.episode, each.file.arrays["ticks"].tolist(), payloads=False))
    for row in range(0, len(each.rows), 4):
        sample = data[row]
        at = int(np.flatnonzero(chunks["stamps"] == sample["stamp"])[0])
        tool = seen[int(sample["stamp"])].streams["tool_pose"].values[-1]
        measured = Pose(tool[:3], matrix_from_quaternion(tool[3:7]))
        anchor = Pose(chunks["anchor"][at, :3], matrix_from_quaternion(chunks["anchor"][at, 3:7]))
        for label, planned in zip(sample["action"], chunks["data"][at], strict=True):
            goal = apply_delta(anchor, planned[:6])
            error = pose_delta(goal, apply_delta(measured, label[:6].astype(np.float64)))
            assert np.abs(error).max() < 2e-6 and label[6] == planned[6]


SLOW, FAST = np.array([0.01, 0, -0.02, 0, 0.1, 0]), np.array([0.03, 0, 0, 0.2, 0, 0])
PLANNED = np.random.default_rng(0).normal(size=(8, 7)).astype(np.float32) * 0.01


def commanded(found, twist_of=lambda t: np.zeros(6), phase_of=lambda t: 1, state_of=lambda t: 2):
    """The messages with other twists, phases and states, by seconds since the start."""
    for topic, receive_ns, data in found:
        if topic in ("/arm/state", "/task/state"):
            kind = local_type(TYPES[topic])
            message = kind.decode(data)
            t = (message.header.stamp.sec * NS + message.header.stamp.nanosec - START_NS) / NS
            changes = {"phase": phase_of(t)} if topic == "/task/state" else {"twist": twist_of(t), "state": state_of(t)}
            data = kind.encode(type(message)(**{**vars(message), **changes}))
        yield topic, receive_ns, data


def anchored(found):
    """The messages with a chunk at every 1.5th pose, anchored at the pose that was just received."""
    kind, make, sent = local_type(TYPES["/tool_pose"]), local_type(TYPES["/action_expert/chunk"]), []
    for topic, receive_ns, data in found:
        if topic == "/tool_pose":
            message = make.decode(chunk(receive_ns, len(sent), PLANNED))
            message = type(message)(**{**vars(message), "anchor": kind.decode(data).pose})
            sent.append(("/action_expert/chunk", receive_ns + 1, make.encode(message)))
    return sorted([e for e in found if e[0] != "/action_expert/chunk"] + sent, key=lambda e: e[1])


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A store of episodes without pictures, one for each question about labels."""
    folder = tmp_path_factory.mktemp("driven")
    plain = messages(2.6, seed=1, aline_bins=0)
    episodes = {
        "driven": (commanded(plain, lambda t: SLOW if t < 1.475 else FAST, lambda t: 1 if t < 1.5 else 2), {}),
        "fault": (commanded(plain, state_of=lambda t: 5 if t > 1.6 else 2), {}),
        "missed": (commanded(plain, phase_of=lambda t: 6 if t > 1.6 else 1), {}),
        "gap": (commanded(e for e in plain if e[0] != "/arm/state" or not 1.6 < (e[1] - START_NS) / NS < 1.8), {}),
        "anchored": (anchored(plain), {"outcome": "failure"}),
        "silent": ([e for e in plain if e[0] != "/arm/state"], {"bad": True, "reasons": ("shaky",)}),
    }
    bags = [write_episode(folder / "bags" / name, list(found), **more) for name, (found, more) in episodes.items()]
    preprocess(bags, folder / "store", 1, split=Split(val_share=0.0))
    return folder / "store"


def samples_of(store, episode, **options):
    """Samples and the seconds of their ticks."""
    data = TrainingSet([DataSource(store=str(store), **options)], "train")
    found = [data[i] for i in range(len(data)) if data.place(i)[0].episode.name == episode]
    return [((sample["stamp"] - START_NS) / NS, sample) for sample in found]


def test_a_chunk_anchored_at_the_measured_pose_is_the_label_as_it_is(driven):
    found = samples_of(driven, "anchored", include_failed=True)
    assert len(found) > 100 and all(np.array_equal(sample["action"], PLANNED) for _, sample in found)
    assert found[0][1]["features"].shape == (0, 0) and not found[0][1]["feature_age_mask"].any()


def test_commands_are_integrated_where_a_person_drove(driven):
    found, checked = samples_of(driven, "driven", label="commands"), set()
    for t, sample in found:
        assert t + 0.8 < 2.6
        for k, label in enumerate(sample["action"], 1):
            end = t + 0.1 * k
            before, after = max(0.0, min(end, 1.5) - t), max(0.0, end - max(t, 1.5))
            assert np.allclose(label[:3], SLOW[:3] * before + FAST[:3] * after, atol=1e-7)
            turn = exp_so3(FAST[3:] * after) @ exp_so3(SLOW[3:] * before)
            assert np.allclose(exp_so3(label[3:6]), turn, atol=1e-6)
            assert label[6] == (0.0 if end < 1.5 else 1.0)
            checked.add((before > 0, after > 0))
    assert len(checked) == 3 and len(found) > 8


@pytest.mark.parametrize("episode", ["fault", "missed"])
def test_a_fault_or_a_failed_task_within_the_horizon_is_no_label(driven, episode):
    assert 0.7 < max(t for t, _ in samples_of(driven, episode, label="commands")) < 0.85


def test_a_gap_in_the_commands_is_no_label(driven):
    ticks = [t for t, _ in samples_of(driven, "gap", label="commands")]
    assert ticks and all(t + 0.8 <= 1.61 or t >= 1.8 for t in ticks)


def test_commands_that_were_not_recorded_are_named(driven):
    with pytest.raises(ValueError, match="episode 'silent'.*arm/state and task/state.*use the label source 'chunks'"):
        samples_of(driven, "silent", label="commands", include_bad=True)


def test_bad_and_failed_episodes_are_left_out_unless_asked_for(driven):
    def names(**options):
        data = TrainingSet([DataSource(store=str(driven), **options)], "train")
        return [each.episode.name for each in data.episodes]

    usual = ["driven", "fault", "missed", "gap"]
    assert names() == usual
    assert names(include_failed=True) == [*usual, "anchored"] and names(include_bad=True) == [*usual, "silent"]
    with pytest.raises(ValueError, match="expected samples of split 'val'.*record more episodes"):
        TrainingSet([DataSource(store=str(driven))], "val")


def test_stores_of_other_contracts_are_refused_by_what_differs(store, tmp_path):
    Store.create(tmp_path / "store", CONTRACT.replace("min_share: 0.4", "min_share: 0.3")).close()
    sources = [DataSource(store=str(path)) for path in (store.path, tmp_path / "store")]
    with pytest.raises(ValueError, match=r"one contract.*force\.min_share: 0.3 against 0.4.*train on one"):
        TrainingSet(sources, "train")
    assert len(TrainingSet([sources[0], sources[1].model_copy(update={"weight": 0.0})], "train")) > 30


def test_images_instead_of_features_are_those_of_the_drawn_set(store):
    data = opened(store, features=None, image_views=("side", "front"))
    batch = data.batch([3, 20, 40], [0.1, 0.5, 0.9])
    assert batch["instructions"] == [store.episodes()[0].instruction] * 3 and not batch["features_mask"].any()
    for at, index in enumerate((3, 20, 40)):
        each, row = data.place(index)
        chosen = each.ages.draw(row, (0.1, 0.5, 0.9)[at])
        sets = image_sets(store, each.episode, ("side", "front"))
        expected = SetImages(store, each.episode, sets).load(chosen)
        assert [image.view for image in batch["images"][at]] == ["side", "front"]
        for left, right in zip(batch["images"][at], expected, strict=True):
            assert left.stamp_ns == right.stamp_ns and np.array_equal(left.rgb, right.rgb)
        oldest = min(image.stamp_ns for image in expected)
        assert batch["feature_age"][at, 0] == np.float32((batch["stamp"][at] - oldest) * 1e-9)


def test_a_set_goes_to_another_process_as_paths(store):
    data = opened(store)
    sent = pickle.dumps(data)
    assert len(sent) < 200_000
    again = pickle.loads(sent)
    for left, right in zip(data[7, 0.3].values(), again[7, 0.3].values(), strict=True):
        assert np.array_equal(left, right)


def test_samples_are_computed_once_and_again_where_the_file_is_damaged(store):
    files = sorted((store.path / "cache" / "samples").iterdir())
    before = {path: path.stat().st_mtime_ns for path in files}
    first = opened(store)[0]
    assert before == {path: path.stat().st_mtime_ns for path in files} and len(files) >= 2
    files[0].write_bytes(files[0].read_bytes()[:-100])
    files[1].write_bytes(files[1].read_bytes()[:-100])
    second = opened(store)[0]
    assert all(np.array_equal(first[name], second[name]) for name in first)
