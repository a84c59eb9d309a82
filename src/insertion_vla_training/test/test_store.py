"""The store: what goes in comes out, an episode is there as a whole or not at all, and the split stays."""

import json
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr
from bag_rig import CONTRACT
from episode_rig import TYPES, messages, write_episode
from insertion_vla_training.bags import BagReader, local_type
from insertion_vla_training.bags.episode import bag_hash, read_episode
from insertion_vla_training.stores.episode_data import load_episode, save_episode
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.feature_blob import decode_features
from insertion_vla_training.stores.store import Store

SECONDS = 1.5


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    return [write_episode(folder / f"episode_{i}", messages(SECONDS, seed=i), outcome="success") for i in range(3)]


@pytest.fixture(scope="module")
def data(bags):
    return [read_episode(bag, bag_hash(bag), "f16") for bag in bags]


def decoded(bag, topic):
    reader = BagReader(bag)
    return [reader.decode(message) for message in reader.messages([topic])]


def content(store):
    """Every array of every episode, as bytes."""
    found = {}
    for episode in store.episodes():
        for stream in store.contract.observations:
            if stream.payload:
                blobs = store.payloads(stream.name, episode)
                found[episode.name, stream.name] = [blobs.blob(i) for i in range(len(blobs))]
            else:
                rows = store.stream(stream.name, episode)
                found[episode.name, stream.name] = [a.tobytes() for a in (rows.stamps, rows.receive, rows.values)]
        for image in store.contract.images:
            blobs = store.images(image.name, episode)
            found[episode.name, image.name] = [blobs.stamps.tobytes(), *(blobs.jpeg(i) for i in range(len(blobs)))]
        found[episode.name, "alines"] = store.alines(episode).tobytes()
        found[episode.name, "chunks"] = [values.tobytes() for values in store.chunks(episode).values()]
        found[episode.name, "task"] = store.task(episode).values.tobytes()
        found[episode.name, "commands"] = store.commands(episode).values.tobytes()
    return found


def made(folder, episodes, **options):
    store = Store.create(folder, CONTRACT, **options)
    for episode in episodes:
        store.append_episode(episode)
    store.close()
    return Store.open(folder)


def test_what_was_recorded_comes_out_unchanged(tmp_path, bags, data):
    store = made(tmp_path / "store", data)
    for bag, episode in zip(bags, store.episodes(), strict=True):
        reader = BagReader(bag)
        recorded = {}
        for message in reader.messages():
            recorded.setdefault(message.topic, []).append((message.receive_ns, reader.decode(message)))
        for view in ("front", "side", "hand"):
            images = store.images(view, episode)
            sent = recorded[f"/{view}/image_raw/compressed"]
            assert [images.jpeg(i) for i in range(len(images))] == [m.data.tobytes() for _, m in sent]
            assert images.receive.tolist() == [receive for receive, _ in sent]
        force = store.stream("force", episode)
        sent = recorded["/force/samples"]
        assert force.stamps.tolist() == [s for _, m in sent for s in m.stamps.tolist()]
        assert force.values[:, 0].astype(np.float32).tobytes() == b"".join(m.force.tobytes() for _, m in sent)
        alines = np.concatenate([m.alines.reshape(-1, 1025) for _, m in sent])
        assert store.alines(episode).dtype == np.float16
        assert np.array_equal(store.alines(episode), alines.astype(np.float16))
        assert np.array_equal(store.alines(episode, 100, 110), alines[100:110].astype(np.float16))
        joints = store.stream("joints", episode)
        assert joints.values[3, 0] == recorded["/joint_states"][3][1].position[5]  # by name: they were sent in reverse
        features = store.payloads("features", episode)
        sent = recorded["/vlm/features"]
        tokens = [decode_features(features.blob(i)).tokens.tobytes() for i in range(len(features))]
        assert tokens == [m.data.tobytes() for _, m in sent]
        chunks = store.chunks(episode)
        assert chunks["data"].tobytes() == b"".join(m.data.tobytes() for _, m in recorded["/action_expert/chunk"])
        assert chunks["sequence"].tolist() == list(range(len(chunks["sequence"])))
        assert json.loads(store.chunk_texts(episode).blob(0))["policy_id"] == "test"
        assert store.commands(episode).values[5, 2:8].tolist() == recorded["/arm/state"][5][1].twist.tolist()
        assert (episode.outcome, episode.instruction[:6], episode.bad) == ("success", "insert", False)
        assert store.metadata(episode).seed == 7


def test_the_arrays_are_sharded_zarr_of_version_3_with_ends(tmp_path, bags, data):
    store = made(tmp_path / "store", [read_episode(bag, bag_hash(bag), "f32") for bag in bags[:2]], alines="f32")
    root = zarr.open_group(str(store.path), mode="r")
    assert root.attrs["format"] == "insertion_vla_store" and root.metadata.zarr_format == 3
    assert root["alines/values"].dtype == np.float32 and root["alines/values"].shards[0] > 1000
    counts = [episode.counts["streams/force"] for episode in store.episodes()]
    assert root["streams/force/ends"][:].tolist() == np.cumsum(counts).tolist()
    assert root["alines/values"].shape == (sum(counts), 1025)
    recorded = np.concatenate([m.alines for m in decoded(bags[0], "/force/samples")]).reshape(-1, 1025)
    assert np.array_equal(store.alines(store.episode("episode_0")), recorded)  # 32 bits are what was sent
    with Store.open(store.path, writable=True) as writer, pytest.raises(ValueError, match="float32, got float16"):
        writer.append_episode(data[2])
    # Bytes of images are as they were, and not compressed once more.
    assert root["images/front/bytes"].compressors == ()


def test_an_episode_without_a_lines_has_none_and_not_zeros(tmp_path, data):
    bag = write_episode(tmp_path / "blind", messages(SECONDS, seed=9, aline_bins=0))
    store = made(tmp_path / "store", [data[0], read_episode(bag, bag_hash(bag), "f16"), data[1]])
    assert np.isnan(store.alines(store.episode("blind"))).all()
    assert np.isfinite(store.alines(store.episode("episode_1"))).all()


def test_a_staged_episode_equals_the_one_in_memory(tmp_path, data):
    save_episode(data[0], tmp_path / "staged")
    assert content(made(tmp_path / "a", [load_episode(tmp_path / "staged")])) == content(made(tmp_path / "b", data[:1]))


APPENDER = """
import os, signal, sys
from pathlib import Path
from insertion_vla_training.stores.episode_data import load_episode
from insertion_vla_training.stores.store import Store
import zarr.storage._local as local

staged, folder, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store, data = Store.open(folder, writable=True), load_episode(staged)
written, put = [0], local._put

def counted(*args, **kwargs):
    written[0] += 1
    if written[0] == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(*args, **kwargs)

local._put = counted
if kill_at < 0:
    from insertion_vla_training.stores import store as module
    module.write_episodes = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
store.append_episode(data)
print(written[0])
"""


def append_killed(staged, folder, kill_at):
    command = [sys.executable, "-c", APPENDER, str(staged), str(folder), str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("kill_at", [1, 9, 31, 52, -1])
def test_a_kill_at_any_point_of_an_append_leaves_the_store_as_before(tmp_path, data, kill_at):
    before = content(made(tmp_path / "store", data[:1]))
    save_episode(data[1], tmp_path / "staged")
    ended = append_killed(tmp_path / "staged", tmp_path / "store", kill_at)
    assert ended.returncode == -signal.SIGKILL, ended.stderr + ended.stdout
    assert content(Store.open(tmp_path / "store")) == before
    # And it goes on from there as if nothing had been.
    with Store.open(tmp_path / "store", writable=True) as store:
        assert not list(store.path.rglob("*.partial"))
        store.append_episode(data[2])
        store.append_episode(data[1])
    expected = content(made(tmp_path / "straight", [data[0], data[2], data[1]]))
    assert content(Store.open(tmp_path / "store")) == expected


def test_a_full_disk_leaves_the_store_as_before(tmp_path, data):
    before = content(made(tmp_path / "store", data[:1]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.open(tmp_path / "store", writable=True) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))  # as a disk that takes no more
        try:
            with pytest.raises(OSError):
                store.append_episode(data[1])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert content(store) == before
        store.append_episode(data[1])  # room was made
    assert content(Store.open(tmp_path / "store")) == content(made(tmp_path / "straight", data[:2]))


def test_one_writer_at_a_time_and_readers_beside_it(tmp_path, data):
    made(tmp_path / "store", data[:1])
    with Store.open(tmp_path / "store", writable=True) as store:
        with pytest.raises(ValueError, match="another process writes to the store"):
            Store.open(tmp_path / "store", writable=True)
        reader = Store.open(tmp_path / "store")
        before = content(reader)
        store.append_episode(data[1])
        assert content(reader) == before
    with pytest.raises(ValueError, match="open for writing"):
        reader.append_episode(data[2])


def test_what_is_no_store_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="expected a store in .*preprocess"):
        Store.open(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="name another folder"):
        Store.create(tmp_path, CONTRACT)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_store_of_another_version_or_with_missing_rows_is_refused(tmp_path, data):
    made(tmp_path / "store", data[:1])
    root = zarr.open_group(str(tmp_path / "store"), mode="r+")
    root["streams/joints/stamps"].resize((10,))
    with pytest.raises(ValueError, match="streams/joints/stamps .*got 10.*copy the store again"):
        Store.open(tmp_path / "store", writable=True)
    root.attrs["version"] = 2
    with pytest.raises(ValueError, match="got insertion_vla_store version 2"):
        Store.open(tmp_path / "store")


def test_the_split_depends_on_the_name_and_the_seed_alone():
    names = [f"episode_{i:04d}" for i in range(2000)]
    splits = {seed: {name: Split(seed=seed, val_share=0.2).of(name) for name in names} for seed in (1, 2)}
    for split in splits.values():
        assert sum(of == "val" for of in split.values()) / len(names) == pytest.approx(0.2, abs=0.03)
    assert splits[1] != splits[2]
    # The same on every machine and in every year: a stored split must not move.
    assert [name for name in names[:12] if splits[1][name] == "val"] == ["episode_0001", "episode_0009"]


def test_a_bag_recorded_under_another_contract_is_refused_by_what_differs(tmp_path, data):
    other = CONTRACT.replace("rate_hz: 650.0", "rate_hz: 500.0")
    bag = write_episode(tmp_path / "other", messages(SECONDS, seed=4), contract=other)
    with Store.create(tmp_path / "store", CONTRACT) as store:
        with pytest.raises(ValueError, match=r"force\.rate_hz: 500.0 against 650.0"):
            store.append_episode(read_episode(bag, bag_hash(bag), "f16"))
        assert store.episodes() == []


def test_a_lines_beyond_16_bits_are_refused_and_not_made_infinite(tmp_path):
    kind = local_type(TYPES["/force/samples"])
    found = messages(SECONDS, seed=6)
    at = next(i for i, entry in enumerate(found) if entry[0] == "/force/samples")
    message = kind.decode(found[at][2])
    alines = message.alines.copy()
    alines[2000] = 1e6
    found[at] = (*found[at][:2], kind.encode(type(message)(**{**vars(message), "alines": alines})))
    bag = write_episode(tmp_path / "loud", found)
    half = read_episode(bag, bag_hash(bag), "f16")
    assert len(half.reasons) == 1 and "--alines f32" in half.reasons[0]
    assert not np.isinf(half.tables["alines"].columns["values"]).any()
    assert len(half.tables["alines"]) == len(half.tables["streams/force"])
    assert read_episode(bag, bag_hash(bag), "f32").reasons == ()
