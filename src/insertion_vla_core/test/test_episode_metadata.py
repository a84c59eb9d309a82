import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.episode_metadata import (
    EpisodeMetadata,
    StreamRate,
    end_note,
    from_custom_data,
    note_recording,
    noted_recording,
    to_custom_data,
)
from insertion_vla_core.revision import git_revision
from pydantic import ValidationError

CONTRACT = (Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml").read_text()


def episode(**changes) -> EpisodeMetadata:
    return EpisodeMetadata(**{"name": "episode_0001", "source": "recorder", "contract": CONTRACT, **changes})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    parameters=st.dictionaries(st.text(), json_values, max_size=3),
    notes=st.text(),
    seed=st.none() | st.integers(0),
    outcome=st.sampled_from(["success", "failure", "unknown"]),
    reasons=st.lists(st.text(), max_size=2),
    bad=st.booleans(),
)
def test_what_is_written_is_read(parameters, notes, seed, outcome, reasons, bad):
    rate = StreamRate(
        topic="force/samples", expected_hz=65.0, measured_hz=64.9, messages=9, longest_gap_s=0.02, ok=True
    )
    written = episode(
        parameters=parameters, notes=notes, seed=seed, outcome=outcome, reasons=reasons, bad=bad, rates=[rate]
    )
    custom = to_custom_data(written)
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in custom.items())
    assert from_custom_data({**custom, "operator": "somebody else's key"}, "bag") == written


def test_notes_that_look_like_numbers_stay_text():
    assert from_custom_data(to_custom_data(episode(notes="17", name="1")), "bag").notes == "17"


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_by_its_name(wrong):
    with pytest.raises(ValidationError, match=r"arm\.limits\[1\] = (nan|inf)"):
        episode(parameters={"arm": {"limits": [1.0, wrong]}})


def test_a_bag_of_others_is_told_from_ours():
    with pytest.raises(ValueError, match="bag7.*found none.*record.launch.py"):
        from_custom_data({"operator": "me"}, "bag7")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("version", "2", "version 1 in bag7, got version 2"),
        ("outcome", "won", "outcome"),
        ("seed", "seven", "expected JSON as insertion_vla.seed"),
        ("rates", '[{"topic": 3}]', "rates.0.topic"),
        ("seedd", "7", "did you mean 'seed'"),
        ("contract", "version: 1", "'action' is missing"),
    ],
)
def test_wrong_metadata_is_named(key, value, sentence):
    custom = {**to_custom_data(episode()), f"insertion_vla.{key}": value}
    with pytest.raises(ValueError, match=sentence) as error:
        from_custom_data(custom, "bag7")
    assert "bag7" in str(error.value)


def test_the_revision_is_the_commit_and_says_if_it_was_changed(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    assert git_revision(tmp_path) == ""
    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    clean = git_revision(tmp_path / "file")
    assert len(clean) == 40
    (tmp_path / "file").write_text("2")
    assert git_revision(tmp_path) == f"{clean}-dirty"


def test_the_note_of_a_running_recording_is_the_newest_one(tmp_path):
    assert noted_recording(tmp_path) == {}
    note_recording(tmp_path, episode())
    note_recording(tmp_path, episode(outcome="success"))
    assert from_custom_data(noted_recording(tmp_path), "bag").outcome == "success"
    (tmp_path / "recording.json").write_text("{torn")
    assert noted_recording(tmp_path) == {}
    end_note(tmp_path)
    end_note(tmp_path)
    assert list(tmp_path.iterdir()) == []
