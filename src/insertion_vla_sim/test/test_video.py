import cv2
import numpy as np
import pytest
from insertion_vla_sim.video import VideoWriter, side_by_side
from PIL import Image

FRAMES = [np.full((90, 160, 3), (20 * i, 60, 200 - 20 * i), np.uint8) for i in range(6)]


def test_gif_holds_the_frames(tmp_path):
    with VideoWriter(tmp_path / "a.gif", 5.0) as video:
        for frame in FRAMES:
            video.add(frame)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == len(FRAMES) and gif.size == (160, 90)
        assert gif.info["duration"] == 200
        for i, frame in enumerate(FRAMES):
            gif.seek(i)
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - frame).max() < 12


def test_mp4_holds_the_frames(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 5.0) as video:
        for frame in FRAMES:
            video.add(frame)
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    read = []
    while (result := capture.read())[0]:
        read.append(cv2.cvtColor(result[1], cv2.COLOR_BGR2RGB))
    assert len(read) == len(FRAMES)
    assert np.abs(read[-1].astype(int) - FRAMES[-1]).mean() < 12


@pytest.mark.parametrize("name", ["a.avi", "a", "missing/a.gif"])
def test_a_wrong_file_is_refused_before_anything_is_recorded(tmp_path, name):
    with pytest.raises(ValueError, match="expected"):
        VideoWriter(tmp_path / name, 5.0)


def test_frames_of_another_shape_are_refused(tmp_path):
    video = VideoWriter(tmp_path / "a.gif", 5.0)
    video.add(FRAMES[0])
    with pytest.raises(ValueError, match="first one's shape"):
        video.add(np.zeros((91, 160, 3), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        video.add(FRAMES[0].astype(float))


def test_side_by_side_keeps_the_views_in_order():
    frame = side_by_side({"front": FRAMES[0], "hand": FRAMES[5]}, "3.2 s")
    assert frame.shape == (90, 320, 3)
    assert np.array_equal(frame[45, 100], FRAMES[0][0, 0]) and np.array_equal(frame[45, 260], FRAMES[5][0, 0])
    assert (frame[:30, :60] == 255).any() and (frame[60:, :60] == 255).any()
    assert not (FRAMES[0] == 255).any(), "the given images stay as they were"
