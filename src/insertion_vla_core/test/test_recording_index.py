"""The list beside the bags holds every episode once, whoever writes it, and a damaged one is named by its line."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from insertion_vla_core.episode_metadata import EpisodeMetadata, StreamRate
from insertion_vla_core.recording_index import INDEX_FILE, list_recording, read_index, recording

CONTRACT = (Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml").read_text()


def entry(name: str, **changes):
    rate = StreamRate(
        topic="joint_states", expected_hz=100.0, measured_hz=99.0, messages=9, lost=2, longest_gap_s=0.1, ok=True
    )
    episode = EpisodeMetadata(name=name, source="test", contract=CONTRACT, rates=[rate, rate], **changes)
    return recording(episode, name, 1_700_000_000_000_000_000, 12.3456, 900, 123_456)


def test_what_is_listed_is_read_in_order_and_a_new_label_takes_the_old_ones_place(tmp_path):
    for name in ("b", "a", "c"):
        list_recording(tmp_path, entry(name))
    list_recording(tmp_path, entry("a", outcome="success", bad=True, reasons=["x"]))
    found = read_index(tmp_path)
    assert [known.name for known in found] == ["b", "a", "c"]
    assert found[1].outcome == "success" and found[1].bad and found[1].reasons == ("x",)
    assert found[1].lost == 4 and found[1].duration_s == 12.346 and found[1].start.startswith("2023-11-1")
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_FILE]


def list_many(folder: Path, prefix: str) -> None:
    for number in range(10):
        list_recording(folder, entry(f"{prefix}{number}"))


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    with ProcessPoolExecutor(2) as pool:
        for done in [pool.submit(list_many, tmp_path, prefix) for prefix in "ab"]:
            done.result()
    assert len(read_index(tmp_path)) == 20


def test_no_list_is_an_empty_one(tmp_path):
    assert read_index(tmp_path) == []


def test_a_damaged_line_is_named_and_the_list_is_left_alone(tmp_path):
    list_recording(tmp_path, entry("a"))
    path = tmp_path / INDEX_FILE
    path.write_text(path.read_text() + '{"name": "b"')
    text = path.read_text()
    with pytest.raises(ValueError, match="line 2 of .*correct the line or remove it"):
        read_index(tmp_path)
    with pytest.raises(ValueError, match="line 2"):
        list_recording(tmp_path, entry("c"))
    assert path.read_text() == text
