"""The verb `cache`: right features for every sample, or a sentence; resumable, parallel, and never stale."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import time

import cv2
import numpy as np
import pytest
import torch
import zarr
from episode_rig import VIEWS
from image_rig import Plain, cached, stored, with_pictures
from insertion_vla_policy.backbones.color_keypoints import ColorKeypoints
from insertion_vla_policy.backbones.tiny_net import TinyNet
from insertion_vla_policy.backbones.tiny_vl import NetworkSizes, load_tiny_vl
from insertion_vla_training.cache import main
from insertion_vla_training.caching.features import FeatureCache
from insertion_vla_training.caching.images import SetImages
from insertion_vla_training.caching.index import indexed_sets
from insertion_vla_training.caching.key import find_keys
from insertion_vla_training.caching.tensors import DamagedFile, TensorFile, write_tensors
from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.stores.episode_data import EpisodeData
from insertion_vla_training.stores.layout import Rows, image_path
from insertion_vla_training.stores.store import Store
from safetensors.torch import save_file

SOUND = {"a": with_pictures(1.5, seed=1, aline_bins=0), "b": with_pictures(1.5, seed=2, aline_bins=0, live=False)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with features of `visual_servo` and prepared samples."""
    store = stored(tmp_path_factory.mktemp("cache"), SOUND)
    assert build(store) == 0 and run("verify", store.path) == 0
    return store


@pytest.fixture
def built(made, tmp_path):
    """A copy of that store for every test."""
    shutil.copytree(made.path, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture
def store(built):
    """The same without features."""
    shutil.rmtree(built.path / "cache" / "features")
    return built


def run(*arguments):
    return main([str(argument) for argument in arguments])


def build(store, *more):
    return run("build", store.path, "--backbone", "visual_servo", "--jobs", 1, *more)


def shards(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors") if "features" in path.parts}


def test_features_are_those_that_the_backbone_gives_for_the_set(store, capsys):
    assert build(store) == 0
    assert "16 image sets of 2 episodes computed" in capsys.readouterr().out
    (folder,) = find_keys(store.path / "cache" / "features")
    cache, backbone = FeatureCache(folder), ColorKeypoints()
    for episode in store.episodes():
        sets, content = indexed_sets(store, episode, VIEWS, store.path / "cache")
        features = cache.episode(content, len(sets))
        assert len(features) == len(sets) == 8
        images = SetImages(store, episode, sets)
        for index in range(len(sets)):
            expected = backbone.encode(images.load(index), episode.instruction)
            assert np.array_equal(features.tokens(index), expected.tokens) and (expected.tokens[:, 4] == 1).any()
    assert run("list", store.path) == 0
    said = capsys.readouterr().out
    assert folder.name in said and "front 320x180, side 320x180, hand 320x180, f32" in said
    assert run("verify", store.path) == 0
    assert "0 problems" in (said := capsys.readouterr().out) and " 0 samples" not in said


def test_a_long_episode_lies_in_several_files(built):
    cache = FeatureCache(find_keys(built.path / "cache" / "features")[0])
    tokens = np.arange(150 * 6, dtype=np.float32).reshape(150, 2, 3)
    files = cache.missing("long", 150)
    for first, last in files[:-1]:
        cache.write("long", (first, last), tokens[first:last], np.zeros((last - first, 3), np.int64))
    assert len(files) == 3 and cache.missing("long", 150) == files[-1:]
    with pytest.raises(ValueError, match="150 image sets of episode 'x'.*22 are missing"):
        cache.episode("long", 150, "x")
    cache.write("long", files[-1], tokens[128:], np.zeros((22, 3), np.int64))
    features = cache.episode("long", 150)
    assert len(features) == 150 and features.shape == (2, 3)
    assert all(np.array_equal(features.tokens(i), tokens[i]) for i in range(150))


def test_a_second_run_computes_nothing(built, capsys):
    before = {p: p.stat().st_mtime_ns for p in (built.path / "cache").rglob("*") if p.is_file()}
    assert build(built) == 0
    assert ": 0 image sets of 2 episodes computed" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in (built.path / "cache").rglob("*") if p.is_file()}


def test_other_views_types_and_weights_are_other_folders(store, tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"1 first")
    first = cached(store, lambda: Plain(weights))
    folders = {first.folder, cached(store, lambda: Plain(weights), views=("side", "front")).folder}
    folders.add(cached(store, lambda: Plain(weights), views=("front", "side")).folder)
    folders.add(cached(store, lambda: Plain(weights), dtype="f16").folder)
    before = shards(first.folder)
    weights.write_bytes(b"2 other")
    second = cached(store, lambda: Plain(weights))
    assert len(folders | {second.folder}) == 5 and shards(first.folder) == before
    assert {json.loads((folder / "key.json").read_text())["model_id"] for folder in folders} == {"lab/plain"}
    sources = [DataSource(store=str(store.path))]
    one, other = (TrainingSet(sources, "train", c.folder.name)[4]["features"] for c in (first, second))
    assert one.shape == other.shape and not np.array_equal(one, other)


def test_a_learned_backbone_comes_from_its_folder_and_other_weights_are_another_cache(store, tmp_path, capsys):
    model = tmp_path / "tiny"
    model.mkdir()
    (model / "config.yaml").write_text("backbone: tiny_vl\nviews: [side, front]\nwidth: 160\nheight: 96\n")
    names = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_file(TinyNet(NetworkSizes().config()).state_dict(), model / "model.safetensors")
        assert run("build", store.path, "--backbone", model) == 0
        names.append(capsys.readouterr().out.split()[1].rstrip(":"))
    assert run("verify", store.path) == 0 and capsys.readouterr().out.count("0 problems") == 2
    assert names[0] != names[1] and all(name.startswith("tiny_vl-") for name in names)
    key = json.loads((store.path / "cache" / "features" / names[0] / "key.json").read_text())
    assert key["views"] == ["side", "front"] and key["details"]["width"] == "160"
    sources, (episode, *_) = [DataSource(store=str(store.path))], store.episodes()
    sets, _ = indexed_sets(store, episode, ("side", "front"), store.path / "cache")
    expected = load_tiny_vl(model).encode(SetImages(store, episode, sets).load(3), episode.instruction)
    features = TrainingSet(sources, "train", names[1]).episodes[0].features
    assert np.array_equal(features.tokens(3), expected.tokens)


def test_weights_that_change_while_it_runs_are_refused(store, tmp_path):
    weights, started = tmp_path / "weights", []
    weights.write_bytes(b"1 first")

    def make():
        if started:
            weights.write_bytes(b"2 other")
        started.append(1)
        return Plain(weights)

    with pytest.raises(ValueError, match="its files changed while this ran; run it again"):
        cached(store, make)


def test_another_instruction_or_other_images_find_no_features(built, tmp_path):
    (folder,) = find_keys(built.path / "cache" / "features")
    cache = FeatureCache(folder)
    for change in ({"instruction": "insert the needle into the red trocar"}, {}):
        folder = tmp_path / ("same" if change else "other")
        other = stored(folder, {"a": SOUND["a"] if change else with_pictures(1.5, seed=9, aline_bins=0)}, **change)
        shutil.copytree(cache.folder.parent, other.path / "cache" / "features")
        with pytest.raises(ValueError, match="features of 8 image sets of episode 'a'.*8 are missing.*cache build"):
            TrainingSet([DataSource(store=str(other.path))], "train", cache.folder.name)
        assert run("verify", other.path) == 1


def test_images_that_were_changed_in_place_are_found_out(built, capsys):
    root = zarr.open_group(str(built.path), mode="r+")
    values = root["images/side/bytes"][2000:2010]
    root["images/side/bytes"][2000:2010] = values[::-1]
    assert run("verify", built.path) == 1
    assert "images of episode 'a'" in (said := capsys.readouterr().err) and "have changed" in said and "remove" in said


def test_a_missing_shard_is_named_and_computed_again(built, capsys):
    path = sorted((built.path / "cache" / "features").rglob("*.safetensors"))[0]
    data = path.read_bytes()
    path.unlink()
    assert run("verify", built.path) == 1
    assert path.name in (said := capsys.readouterr().err) and "compute them with: cache build" in said
    with pytest.raises(ValueError, match="are missing.*compute them with: cache build"):
        TrainingSet([DataSource(store=str(built.path))], "train", path.parent.name)
    assert build(built) == 0 and path.read_bytes() == data
    assert run("verify", built.path) == 0


def test_a_truncated_shard_is_refused_and_replaced(built, capsys):
    path = sorted((built.path / "cache" / "features").rglob("*.safetensors"))[0]
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(ValueError, match="expected a whole safetensors file .*cut off; .*cache build .it replaces"):
        TrainingSet([DataSource(store=str(built.path))], "train", path.parent.name)
    assert run("verify", built.path) == 1
    capsys.readouterr()
    assert build(built) == 0 and path.read_bytes() == data
    assert f"replaced: expected a whole safetensors file {path}" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda d: d[:5], lambda d: b"", lambda d: b"\xff" * 40, lambda d: d + b"more"])
def test_a_file_that_is_not_whole_is_refused(tmp_path, damage):
    write_tensors(tmp_path / "x", {"a": np.arange(5), "b": np.ones((2, 3), bool)}, {"text": "ä"})
    file = TensorFile(tmp_path / "x")
    assert file.arrays["a"].tolist() == [0, 1, 2, 3, 4] and file.arrays["b"].all() and file.texts == {"text": "ä"}
    with pytest.raises(ValueError, match="read-only"):
        file.arrays["a"][0] = 1
    (tmp_path / "y").write_bytes(damage((tmp_path / "x").read_bytes()))
    with pytest.raises(DamagedFile, match=f"whole safetensors file {tmp_path}/y"):
        TensorFile(tmp_path / "y")


def test_a_full_disk_is_a_sentence_and_what_was_computed_stays(store, tmp_path, capsys):
    (tmp_path / "weights").write_bytes(b"1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as a disk that takes no more
    try:
        with pytest.raises(OSError, match="make room or choose another folder, and run it again: what is done stays"):
            cached(store, lambda: Plain(tmp_path / "weights", (64, 64)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (store.path / "cache").rglob("*") if ".new" in path.name]
    cached(store, lambda: Plain(tmp_path / "weights", (64, 64)))  # room was made
    assert run("verify", store.path) == 0


def forked(store, **environment):
    """A process of its own that builds, begun."""
    process = multiprocessing.get_context("fork").Process(target=_build_and_leave, args=(store, environment))
    process.start()
    return process


def _build_and_leave(store, environment):
    os.environ.update(environment)
    write = os.fsync

    def counted(fd, written=[0]):  # noqa: B006  counts from call to call
        written[0] += 1
        if written[0] == int(environment.get("KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        write(fd)

    os.fsync = counted
    os._exit(build(store))


def test_it_goes_on_after_a_kill(store, made, capsys):
    killed = forked(store, KILL_AT="3")  # writes: the key, two shards
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    assert len(shards(store.path)) == 1
    (waiting,) = (store.path / "cache").rglob("*.new")
    assert build(store) == 0
    assert ": 8 image sets of 2 episodes" in capsys.readouterr().out
    assert waiting.exists()  # it might be another process's, which is writing it
    os.utime(waiting, (time.time() - 3600,) * 2)
    assert build(store) == 0 and not waiting.exists()
    assert shards(store.path) == shards(made.path) and len(shards(made.path)) == 2


def test_ranks_share_the_work_without_waiting_for_each_other(store, made, capfd):
    ranks = [forked(store, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    for rank in ranks:
        rank.join(120)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    said = capfd.readouterr().out
    assert said.count(": 8 image sets of 2 episodes") == 2 and "(rank 0 of 2)" in said and "(rank 1 of 2)" in said
    assert shards(store.path) == shards(made.path)


def test_processes_share_the_work(store, made):
    assert run("build", store.path, "--backbone", "visual_servo", "--jobs", 2) == 0
    assert shards(store.path) == shards(made.path)


def test_nonsense_from_torchrun_is_refused(store, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert build(store) == 2
    assert "RANK below WORLD_SIZE, got RANK=2 WORLD_SIZE=2" in capsys.readouterr().err


class Broken(Plain):
    """Gives what a broken backbone may give."""

    def __init__(self, weights, tokens):
        super().__init__(weights)
        self.tokens = tokens

    def encode(self, images, instruction):
        return type("Given", (), {"tokens": self.tokens(images)})()


@pytest.mark.parametrize(
    "tokens, dtype, sentence",
    [
        (
            lambda images: np.full((2, 3), np.nan, np.float32),
            "f32",
            "expected finite features .*image set 0 of episode",
        ),
        (lambda images: np.zeros(3, np.float32), "f32", r"features \(n, d\).*shape \(3,\)"),
        (lambda images: np.full((2, 3), 1e6, np.float32), "f16", "within .-65504 .*use --dtype f32"),
        (lambda images: np.zeros((1 + images[0].stamp_ns // 200_000_000 % 2, 3), np.float32), "f32", "of one shape"),
    ],
)
def test_a_broken_backbone_is_told(store, tmp_path, tokens, dtype, sentence):
    (tmp_path / "weights").write_bytes(b"1")
    with pytest.raises(ValueError, match=sentence):
        cached(store, lambda: Broken(tmp_path / "weights", tokens), dtype=dtype)


@pytest.mark.parametrize(
    "data, sentence",
    [
        (
            cv2.imencode(".jpg", np.zeros((90, 160, 3), np.uint8))[1].tobytes(),
            "expected 320 x 180 pixels.*got 160 x 90",
        ),
        (b"\xff\xd8no", "image 0 of view 'hand' in episode 'a'.*that are none: leave the episode out"),
    ],
)
def test_a_picture_of_another_size_and_one_that_is_none_are_named(tmp_path, made, data, sentence):
    episode = made.episode("a")
    tables = {}
    for view in VIEWS:
        images = made.images(view, episode)
        blobs = [images.jpeg(i) if view != "hand" else data for i in range(2)]
        sizes, content = np.array([len(b) for b in blobs]), np.frombuffer(b"".join(blobs), np.uint8)
        rows = Rows({"stamps": images.stamps[:2], "receive": images.receive[:2]}, sizes, content)
        tables[image_path(view)] = rows
    other = Store.create(tmp_path / "store", made.contract_text)
    other.append_episode(EpisodeData(made.metadata(episode), "a", "a", episode.start_ns, 1.0, (), tables))
    other.close()
    with pytest.raises(ValueError, match=sentence):
        cached(other)


def test_a_store_without_features_or_with_unknown_ones_is_told(store, capsys):
    assert run("verify", store.path) == 2
    assert "there are none: run cache build" in capsys.readouterr().err
    build(store)
    assert run("verify", store.path, "--features", "tiny-1") == 2
    assert "expected features tiny-1" in (said := capsys.readouterr().err) and "color_keypoints-" in said
    assert run("build", store.path, "--backbone", "nobody") == 2
    assert "got 'nobody'" in capsys.readouterr().err
    assert run("build", store.path, "--backbone", "visual_servo", "--views", "front,top") == 2
    assert "different views of the contract" in capsys.readouterr().err
    folder = find_keys(store.path / "cache" / "features")[0]
    folder.rename(folder.with_name("mine"))
    assert run("list", store.path) == 2
    assert f"to be called {folder.name}" in capsys.readouterr().err


def test_a_store_whose_episodes_are_all_bad_is_not_ready(built, capsys):
    index = built.path / "episodes.json"
    episodes = json.loads(index.read_text())
    index.write_text(json.dumps([{**episode, "bad": True} for episode in episodes]))
    assert run("verify", built.path) == 1
    assert "expected samples, there are none" in capsys.readouterr().err
    assert run("verify", built.path, "--include-bad") == 0
