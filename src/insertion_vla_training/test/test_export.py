"""The verb `export`: other formats hold what the policy would have seen, and what comes back is what went out."""

import csv
import io
import json
import shutil

import av
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zarr
from episode_rig import INSTRUCTION, messages
from export_rig import make_store, two_episodes, with_pictures, without
from insertion_vla_core.observation import Observation
from insertion_vla_training.export import main
from insertion_vla_training.exporters import lerobot_layout
from insertion_vla_training.import_ import main as import_main
from insertion_vla_training.stores.offline import replay
from insertion_vla_training.stores.store import Store
from legacy_rig import write_dp_zarr
from PIL import Image

from insertion_vla_training import preprocess

VIEWS = ("front", "side", "hand")
STATE = ("joints", "tool_pose", "force")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("export"), two_episodes())


@pytest.fixture(scope="module")
def exported(store):
    assert main(["lerobot", str(store.path), "--to", str(store.path.parent / "lerobot")]) == 0
    return store.path.parent / "lerobot"


def table(folder):
    return pq.read_table(folder / "data/chunk-000/file-000.parquet", partitioning=None)


def column(rows, name):
    return np.array(rows.column(name).to_pylist())


def described(folder):
    return pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet", partitioning=None).to_pylist()


def noted(folder):
    return json.loads((folder / "meta/insertion_vla.json").read_text())


def ticks_of(folder, number):
    """Ticks [ns] of an episode of a data set."""
    rows = table(folder)
    count = int((column(rows, "episode_index") == number).sum())
    return noted(folder)["episodes"][number]["start_ns"] + np.arange(count) * 100_000_000


def test_rows_are_what_the_policy_would_have_seen_at_the_control_rate(store, exported):
    rows = table(exported)
    for number, episode in enumerate(store.episodes()):
        mine = column(rows, "episode_index") == number
        ticks = ticks_of(exported, number)
        assert mine.sum() >= 12
        for row, (_, seen) in zip(column(rows, "observation.state")[mine], replay(store, episode, ticks), strict=True):
            assert isinstance(seen, Observation)
            newest = np.concatenate([seen.streams[name].valid()[1][-1] for name in STATE])
            np.testing.assert_array_equal(row.astype(np.float32), newest.astype(np.float32))
        np.testing.assert_allclose(column(rows, "timestamp")[mine], np.arange(mine.sum()) / 10.0, atol=1e-6)
        np.testing.assert_array_equal(column(rows, "frame_index")[mine], np.arange(mine.sum()))
    np.testing.assert_array_equal(column(rows, "index"), np.arange(rows.num_rows))


def test_images_are_the_newest_that_had_arrived_and_their_bytes_are_the_recorded_ones(store, exported):
    rows = table(exported)
    mine = column(rows, "episode_index") == 1
    episode = store.episodes()[1]
    for view in VIEWS:
        blobs = store.images(view, episode)
        cells = np.array(rows.column(f"observation.images.{view}").to_pylist(), object)[mine]
        for tick, cell in zip(ticks_of(exported, 1), cells, strict=True):
            there = [i for i in range(len(blobs)) if blobs.receive[i] <= tick]
            assert cell["bytes"] == blobs.blob(there[-1])


def test_actions_are_the_first_rows_of_the_chunks_of_their_ticks(store, exported):
    rows = table(exported)
    for number, episode in enumerate(store.episodes()):
        chunks = store.chunks(episode)
        actions = column(rows, "action")[column(rows, "episode_index") == number]
        for tick, action in zip(ticks_of(exported, number), actions, strict=True):
            (index,) = np.flatnonzero(chunks["stamps"] == tick)
            np.testing.assert_array_equal(action.astype(np.float32), chunks["data"][index, 0])


def test_the_layout_is_lerobots(exported):
    info = json.loads((exported / "meta/info.json").read_text())
    rows = table(exported)
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10 and info["total_episodes"] == 2
    assert info["total_frames"] == rows.num_rows and info["total_tasks"] == 1 and info["video_path"] is None
    assert info["data_path"].format(chunk_index=0, file_index=0) == "data/chunk-000/file-000.parquet"
    assert set(info["features"]) == set(rows.column_names)
    assert info["features"]["observation.images.hand"] == {
        "dtype": "image", "shape": [48, 64, 3], "names": ["height", "width", "channels"],
    }  # fmt: skip
    state = info["features"]["observation.state"]
    assert (
        state["dtype"] == "float32" and state["shape"] == [14] and state["names"][6:8] == ["tool_pose.x", "tool_pose.y"]
    )
    known = json.loads(rows.schema.metadata[b"huggingface"])["info"]["features"]
    assert known["observation.images.front"] == {"_type": "Image"} and known["action"]["length"] == 7
    tasks = pq.read_table(exported / "meta/tasks.parquet")
    assert tasks.to_pylist() == [{"task_index": 0, "task": INSTRUCTION}]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    episodes = described(exported)
    edges = [(episode["dataset_from_index"], episode["dataset_to_index"]) for episode in episodes]
    assert edges[0][0] == 0 and edges[0][1] == edges[1][0] and edges[1][1] == rows.num_rows
    assert episodes[1]["tasks"] == [INSTRUCTION] and episodes[1]["length"] == edges[1][1] - edges[1][0]
    assert pq.ParquetFile(exported / "data/chunk-000/file-000.parquet").num_row_groups == 2


def test_statistics_are_those_of_the_rows(exported):
    rows = table(exported)
    stats = json.loads((exported / "meta/stats.json").read_text())
    for name in ("observation.state", "action"):
        values = column(rows, name)
        assert stats[name]["count"] == [rows.num_rows]
        for key, expected in (
            ("min", values.min(0)), ("max", values.max(0)), ("mean", values.mean(0)), ("std", values.std(0)),
            ("q01", np.quantile(values, 0.01, 0)), ("q99", np.quantile(values, 0.99, 0)),
        ):  # fmt: skip
            np.testing.assert_allclose(stats[name][key], expected, rtol=1e-5, atol=1e-7)
    picture = stats["observation.images.front"]
    assert np.shape(picture["mean"]) == (3, 1, 1) and picture["count"][0] > 2
    cells = rows.column("observation.images.front").to_pylist()
    pixels = np.array([np.asarray(Image.open(io.BytesIO(cell["bytes"])), float) for cell in cells]) / 255.0
    np.testing.assert_allclose(np.ravel(picture["mean"]), pixels.mean((0, 1, 2)), atol=0.1)
    episodes = described(exported)
    first = column(rows, "action")[column(rows, "episode_index") == 0]
    np.testing.assert_allclose(episodes[0]["stats/action/mean"], first.mean(0), rtol=1e-5, atol=1e-7)


def test_lerobot_comes_back_equal_to_single_precision(tmp_path, store, exported):
    assert import_main([str(exported), "--to", str(tmp_path / "bags")]) == 0
    assert preprocess.main([str(tmp_path / "bags"), "--store", str(tmp_path / "store"), "--jobs", "1"]) == 0
    back = Store.open(tmp_path / "store")
    assert [episode.name for episode in back.episodes()] == [episode.name for episode in store.episodes()]
    for number, (was, now) in enumerate(zip(store.episodes(), back.episodes(), strict=True)):
        assert (now.instruction, now.outcome, now.source) == (was.instruction, was.outcome, "import")
        ticks = ticks_of(exported, number)
        for (_, a), (_, b) in zip(replay(store, was, ticks), replay(back, now, ticks), strict=True):
            for name in STATE:
                before, after = a.streams[name].valid()[1][-1], b.streams[name].values[-1]
                np.testing.assert_array_equal(before.astype(np.float32), after.astype(np.float32))
        for view in VIEWS:  # every image once, with its own time
            before, after = store.images(view, was), back.images(view, now)
            kept = [i for i in range(len(before)) if before.stamps[i] in set(after.stamps)]
            assert len(after) == len(set(after.stamps)) >= 6
            assert [before.blob(i) for i in kept] == [after.blob(i) for i in range(len(after))]
        was_chunks, now_chunks = store.chunks(was), back.chunks(now)
        same = np.isin(was_chunks["stamps"], now_chunks["stamps"])
        np.testing.assert_array_equal(was_chunks["data"][same, 0], now_chunks["data"][:, 0])
    # And out once more: the same rows.
    assert main(["lerobot", str(back.path), "--to", str(tmp_path / "again")]) == 0
    names = ["observation.state", "action", *(f"observation.images.{view}" for view in VIEWS)]
    assert table(tmp_path / "again").select(names) == table(exported).select(names)


def test_videos_hold_the_frames_at_their_times_and_come_back(tmp_path, store, exported):
    assert main(["lerobot", str(store.path), "--to", str(tmp_path / "lerobot"), "--videos"]) == 0
    info = json.loads((tmp_path / "lerobot/meta/info.json").read_text())
    key = "observation.images.front"
    assert info["features"][key]["dtype"] == "video" and info["features"][key]["info"]["video.codec"] == "h264"
    assert key not in table(tmp_path / "lerobot").column_names
    path = tmp_path / "lerobot" / info["video_path"].format(video_key=key, chunk_index=0, file_index=0)
    with av.open(str(path)) as container:
        frames = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    cells = table(exported).column(key).to_pylist()
    assert len(frames) == len(cells)
    np.testing.assert_allclose([time for time, _ in frames], np.arange(len(frames)) / 10.0, atol=1e-4)
    for (_, picture), cell in zip(frames, cells, strict=True):
        error = picture.astype(float) - np.asarray(Image.open(io.BytesIO(cell["bytes"])), float)
        assert 20 * np.log10(255.0 / np.sqrt((error**2).mean())) > 25.0
    episodes = pq.read_table(
        tmp_path / "lerobot/meta/episodes/chunk-000/file-000.parquet", partitioning=None
    ).to_pylist()
    assert episodes[0][f"videos/{key}/to_timestamp"] == episodes[1][f"videos/{key}/from_timestamp"]
    assert import_main([str(tmp_path / "lerobot"), "--to", str(tmp_path / "bags")]) == 0
    assert len(list((tmp_path / "bags").iterdir())) == 2


def test_large_data_sets_fall_into_several_files(tmp_path, store, exported, monkeypatch):
    monkeypatch.setattr(lerobot_layout, "DATA_FILE_MB", 0)
    assert main(["lerobot", str(store.path), "--to", str(tmp_path / "lerobot")]) == 0
    files = sorted(path.name for path in (tmp_path / "lerobot/data/chunk-000").iterdir())
    assert files == ["file-000.parquet", "file-001.parquet"]
    assert [episode["data/file_index"] for episode in described(tmp_path / "lerobot")] == [0, 1]
    second = pq.read_table(tmp_path / "lerobot/data/chunk-000/file-001.parquet", partitioning=None)
    assert second == table(exported).filter(pc.field("episode_index") == 1)
    monkeypatch.setattr(lerobot_layout, "VIDEO_FILE_MB", 0)
    assert main(["lerobot", str(store.path), "--to", str(tmp_path / "films"), "--videos"]) == 0
    key = "videos/observation.images.hand"
    files = sorted(path.name for path in (tmp_path / "films" / key / "chunk-000").iterdir())
    assert files == ["file-000.mp4", "file-001.mp4"]
    places = [(row[f"{key}/file_index"], row[f"{key}/from_timestamp"]) for row in described(tmp_path / "films")]
    assert places == [(0, 0.0), (1, 0.0)]
    for name in ("lerobot", "films"):
        assert import_main([str(tmp_path / name), "--to", str(tmp_path / f"bags_{name}")]) == 0


def test_a_gap_ends_an_episode_and_nothing_is_filled_in(tmp_path):
    found = with_pictures(messages(2.4, seed=5, aline_bins=0), 5)
    found = without(found, "/joint_states", 1.2, 1.5)
    store = make_store(tmp_path, {"episode_5": found})
    assert main(["lerobot", str(store.path), "--to", str(tmp_path / "lerobot")]) == 0
    names = [episode["name"] for episode in noted(tmp_path / "lerobot")["episodes"]]
    assert names == ["episode_5", "episode_5"]
    end, start = ticks_of(tmp_path / "lerobot", 0)[-1], ticks_of(tmp_path / "lerobot", 1)[0]
    assert 200_000_000 < start - end <= 500_000_000
    assert "observation.surface_distance" not in table(tmp_path / "lerobot").column_names  # there is none at all
    assert import_main([str(tmp_path / "lerobot"), "--to", str(tmp_path / "bags_back")]) == 0
    assert sorted(path.name for path in (tmp_path / "bags_back").iterdir()) == ["episode_5", "episode_5_run2"]


def test_state_diffusion_zarr_goes_out_as_it_came_in(tmp_path):
    state, action = write_dp_zarr(tmp_path / "pen.zarr", (12, 9), seed=5)
    assert import_main([str(tmp_path / "pen.zarr"), "--to", str(tmp_path / "bags")]) == 0
    assert preprocess.main([str(tmp_path / "bags"), "--store", str(tmp_path / "store"), "--jobs", "1"]) == 0
    assert main(["dp-zarr", str(tmp_path / "store"), "--to", str(tmp_path / "out.zarr")]) == 0
    root = zarr.open_group(str(tmp_path / "out.zarr"), mode="r", zarr_format=2)
    np.testing.assert_array_equal(root["data/state"][:], state)
    np.testing.assert_array_equal(root["data/action"][:], action)
    assert root["meta/episode_ends"][:].tolist() == [12, 21]
    assert root["data/state"].dtype == np.float32 and root["data/action"].dtype == np.float32


def test_state_diffusion_columns_that_a_store_lacks_are_no_numbers(tmp_path, store, capsys):
    assert main(["dp-zarr", str(store.path), "--to", str(tmp_path / "out.zarr")]) == 0
    said = capsys.readouterr().out
    assert "missing: pen_position_x" in said and "derived: joint_1_speed" in said and "images of front" in said
    root = zarr.open_group(str(tmp_path / "out.zarr"), mode="r", zarr_format=2)
    state, ends = root["data/state"][:], root["meta/episode_ends"][:]
    assert state.shape == (ends[-1], 25) and np.isnan(state[:, 19:]).all() and np.isfinite(state[:, :6]).all()
    np.testing.assert_allclose(state[1 : ends[0], 6:12], np.diff(state[: ends[0], :6], axis=0) * 10.0, atol=1e-4)
    assert np.isnan(state[0, 6:12]).all()
    assert root.attrs["action_names"] == ["dx", "dy", "dz", "rx", "ry", "rz"]


def test_csv_has_every_row_with_units_and_all_nanoseconds(tmp_path, store):
    bags = store.path.parent / "bags"
    assert main(["csv", str(bags), "--to", str(tmp_path / "csv")]) == 0
    for episode in store.episodes():
        with (tmp_path / "csv" / episode.name / "tool_pose.csv").open(newline="") as stream:
            head, *rows = csv.reader(stream)
        assert head[2:6] == ["x [m]", "y [m]", "z [m]", "qx [1]"]
        stored = store.stream("tool_pose", episode)
        np.testing.assert_array_equal(np.array([row[2:] for row in rows], float), stored.values)
        assert [int(row[0].replace(".", "")) for row in rows] == stored.stamps.tolist()
        assert [int(row[1].replace(".", "")) for row in rows] == stored.receive.tolist()
    with (tmp_path / "csv" / "episode_0" / "task.csv").open(newline="") as stream:
        head, first = list(csv.reader(stream))[:2]
    assert head[4] == "depth [m]" and first[4] == ""  # no number is an empty cell
    assert {"joints.csv", "force.csv", "action.csv", "images_front.csv", "commands.csv", "episode.json"} <= {
        path.name for path in (tmp_path / "csv" / "episode_0").iterdir()
    }


def test_only_some_episodes_go_out_where_that_is_asked_for(tmp_path, store, capsys):
    command = ["lerobot", str(store.path), "--to", str(tmp_path / "one"), "--episodes", "episode_1"]
    assert main(command) == 0
    assert [episode["name"] for episode in noted(tmp_path / "one")["episodes"]] == ["episode_1"]
    shutil.rmtree(tmp_path / "one")
    assert main([*command[:-1], "episode_9"]) == 2
    assert "there are none called episode_9" in capsys.readouterr().err
