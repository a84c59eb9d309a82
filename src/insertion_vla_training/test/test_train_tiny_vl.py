"""Frames with true key points, and the training of tiny_vl: the labels are right, a stopped run goes on unchanged."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from insertion_vla_core.calibration import load_calibration
from insertion_vla_core.geometry import Pose, matrix_from_quaternion
from insertion_vla_policy.experts.trocar_estimate import KEY_POINTS
from insertion_vla_sim.scene import COLOURS, VIEWS
from insertion_vla_training.cli.sentences import naming, naming_none
from insertion_vla_training.tiny_vl.batch import Augmentation, make_batch
from insertion_vla_training.tiny_vl.report import measure
from insertion_vla_training.tiny_vl.set import KeypointSet, generate
from insertion_vla_training.train_tiny_vl import VALIDATION_SEED, main
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[3]
CALIBRATION = ROOT / "config" / "calibration" / "sim.yaml"
SETS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of a few scenes, drawn once for all tests."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("frames")
    generate(folder, "train", 0, SETS)
    generate(folder, "train", VALIDATION_SEED, 4)
    generate(folder, "heldout", 0, 4)
    return folder


@pytest.fixture(scope="module")
def frames(folder: Path) -> KeypointSet:
    return KeypointSet(generate(folder, "train", 0, SETS))


def test_labels_are_the_projections_of_the_true_tubes(frames: KeypointSet) -> None:
    calibration = load_calibration(CALIBRATION)
    for index in range(SETS):
        flange = Pose(frames.flange[index, :3], matrix_from_quaternion(frames.flange[index, 3:]))
        for v, view in enumerate(VIEWS):
            camera = calibration.cameras[view]
            eye = camera.in_base(flange).position
            for c in range(len(COLOURS)):
                mouth, axis = frames.tubes[index, c, :3].astype(float), frames.tubes[index, c, 3:].astype(float)
                across = (eye - mouth) - ((eye - mouth) @ axis) * axis
                for k, (along, out) in enumerate(KEY_POINTS):
                    point = mouth + along * axis + out * across / np.linalg.norm(across)
                    pixel = camera.project(point, flange)
                    assert np.abs(pixel - frames.pixels[index, v, c, k]).max() < 0.02, (index, view, c, k)


def test_a_seen_mouth_is_dark_in_the_picture_and_surrounded_by_its_colour(frames: KeypointSet) -> None:
    right, asked = 0, 0
    for index in range(SETS):
        for v in range(2):
            picture = frames.picture(index, v).astype(float)
            for c in np.flatnonzero(frames.seen[index, v, :, 0]):
                x, y = np.rint(frames.pixels[index, v, c, 0]).astype(int)
                around = picture[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7].reshape(-1, 3).mean(0)
                asked += 1
                right += int(picture[y, x].max() < 60 and np.argmax(around - picture.mean((0, 1))) == c)
    assert asked > SETS and right > 0.9 * asked
    assert not frames.seen.all(), "the needle hides some points"


def test_frames_are_drawn_once_and_only_what_is_missing_is_drawn_again(folder: Path) -> None:
    (path,) = generate(folder, "heldout", 0, 4)
    before, stamp = load_file(path), path.stat().st_mtime_ns
    generate(folder, "heldout", 0, 4)
    assert path.stat().st_mtime_ns == stamp
    path.unlink()
    generate(folder, "heldout", 0, 4)
    after = load_file(path)
    assert all(np.array_equal(after[name], before[name], equal_nan=name == "pixels") for name in before)


def test_a_damaged_or_foreign_shard_is_refused(folder: Path, tmp_path: Path) -> None:
    (path,) = generate(folder, "heldout", 0, 4)
    (tmp_path / path.name).write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="expected a shard of key point frames in .*: delete it"):
        generate(tmp_path, "heldout", 0, 4)
    (tmp_path / path.name).write_bytes(generate(folder, "train", VALIDATION_SEED, 4)[0].read_bytes())
    with pytest.raises(ValueError, match="choose another folder for the frames"):
        generate(tmp_path, "heldout", 0, 4)


@pytest.mark.parametrize("cut", [True, False])
def test_key_points_move_with_the_picture(frames: KeypointSet, monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    def dotted(index: int, view: int) -> np.ndarray:
        """A grey picture with a white dot on the red mouth, drawn to a sixteenth of a pixel."""
        picture = np.full((180, 320, 3), 60, np.uint8)
        u, v = (int(round(16 * value)) for value in frames.pixels[index, view, 0, 0])
        cv2.circle(picture, (u, v), 3 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        return picture

    monkeypatch.setattr(frames, "picture", dotted)
    how = Augmentation(160, 96, cut=cut, turn_rad=0.3, scale=0.2, shift=0.1)
    batch = make_batch(frames, 24, how, seed=1, step=5)
    again = make_batch(frames, 24, how, seed=1, step=5)
    assert np.array_equal(batch.pictures, again.pictures) and batch.sentences == again.sentences
    checked = 0
    for picture, pixels in zip(batch.pictures, batch.pixels, strict=True):
        u, v = pixels[0, 0]
        if not (8 < u < 151 and 8 < v < 87):
            continue
        weight = np.clip(picture.mean(-1) - picture.mean(-1)[0, 0] - 0.3, 0.0, None)
        ys, xs = np.nonzero(weight > 0.5 * weight.max())
        assert abs(xs.mean() - u) < 0.5 and abs(ys.mean() - v) < 0.5
        checked += 1
    assert checked >= 5


def test_sentences_name_one_colour_or_none() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        colour = str(rng.choice(COLOURS))
        assert [word for word in COLOURS if word in naming(colour, rng).replace(":", " ").split()] == [colour]
        words = set(naming_none(rng).lower().replace(":", " ").replace(",", " ").split())
        assert len(words & set(COLOURS)) != 1


def flags(run: Path, output: Path, *more: str) -> list[str]:
    fixed = ["--sets", str(SETS), "--validate", "4", "--steps", "6", "--batch", "4"]
    return ["--run", str(run), "--output", str(output), "--calibration", str(CALIBRATION), *fixed, *more]


def test_a_stopped_run_goes_on_to_the_very_same_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "frames").symlink_to(folder)
    assert main(flags(tmp_path / "whole", tmp_path / "a")) == 0
    card = capsys.readouterr().out
    assert "mouth in space [mm], median" in card and (tmp_path / "a" / "MODEL_CARD.md").read_text() in card
    for _ in range(6):
        assert main(flags(tmp_path / "stopped", tmp_path / "b", "--minutes", "1e-6")) == 0
    said = capsys.readouterr()
    assert said.err.count("the same command goes on") == 5
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert main(flags(tmp_path / "stopped", tmp_path / "b", "--seed", "7")) == 2
    assert "it was made with seed 0 (now 7): give the same flags" in capsys.readouterr().err
    state = tmp_path / "stopped" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    assert main(flags(tmp_path / "stopped", tmp_path / "b")) == 2
    assert "expected the state of a training run" in capsys.readouterr().err


def test_the_shipped_model_finds_the_named_trocar_in_scenes_it_never_saw(folder: Path) -> None:
    figures = measure(
        ROOT / "models" / "tiny_vl", KeypointSet(generate(folder, "train", VALIDATION_SEED, 4)), CALIBRATION
    )
    assert figures["front mouth: error [px], median"] < 0.6
    assert figures["hand mouth: error [px], median"] < 0.8
    assert figures["mouths on a wrong trocar [%]"] == 0.0
    assert figures["false alarms when no trocar is named [%]"] < 5.0
    assert figures["sets that give a tube [%]"] == 100.0
    assert figures["mouth in space [mm], median"] < 0.4
