"""Pictures become network inputs: the same numbers as transformers' own image processor, in a fraction of its time."""

import cv2
import numpy as np
import pytest
from insertion_vla_policy.images import PatchSettings, checked_views, cut_patches, decode_jpeg, small_batch
from insertion_vla_policy.protocol import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(360, 640), (180, 320), (364, 644), (30, 40), (900, 1300)])
def test_patches_are_those_of_the_reference_processor(size: tuple[int, int]) -> None:
    rgb = picture(*size)
    reference = Qwen2VLImageProcessorPil()(images=[rgb], return_tensors="np")
    ours = cut_patches([rgb])
    assert ours.grids.tolist() == reference["image_grid_thw"][:, 1:].tolist()
    frames = reference["pixel_values"].reshape(-1, 3, 2, 14 * 14)
    assert np.array_equal(frames[:, :, 0], frames[:, :, 1]), "the reference repeats a still picture, we do not"
    assert np.abs(ours.values.reshape(-1, 3, 14 * 14) - frames[:, :, 0]).max() < 1e-6


def test_views_of_different_sizes_are_one_batch_in_their_order() -> None:
    first, second = picture(180, 320, 1), picture(90, 120, 2)
    both = cut_patches([first, second])
    assert both.grids.tolist() == [[12, 22], [6, 8]]
    assert np.array_equal(both.values[: 12 * 22], cut_patches([first]).values)
    assert np.array_equal(both.values[12 * 22 :], cut_patches([second]).values)


def test_the_area_limits_bound_the_patches() -> None:
    small = cut_patches([picture(360, 640)], PatchSettings(max_pixels=100 * 28 * 28))
    assert small.grids.prod() // 4 <= 100
    large = cut_patches([picture(56, 56)], PatchSettings(min_pixels=16 * 28 * 28))
    assert large.grids.prod() // 4 >= 16
    with pytest.raises(ValueError, match="200 times as long as wide"):
        cut_patches([picture(2, 500)])


def test_small_pictures_keep_their_values_and_large_ones_are_averaged() -> None:
    rgb = picture(180, 320)
    batch = small_batch([rgb], 320, 180)
    assert batch.shape == (1, 180, 320, 3) and batch.dtype == np.float32
    assert np.allclose((batch[0] + 1.0) * 127.5, rgb, atol=1e-4)
    halved = small_batch([picture(360, 640)], 320, 180)[0]
    mean = picture(360, 640).reshape(180, 2, 320, 2, 3).mean(axis=(1, 3))
    assert np.abs((halved + 1.0) * 127.5 - mean).max() <= 0.51, "averaging rounds to whole grey levels"


def test_decoding_gives_rgb_and_refuses_what_is_no_picture() -> None:
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 200
    good, data = cv2.imencode(".png", cv2.cvtColor(red, cv2.COLOR_RGB2BGR))
    assert good
    assert np.array_equal(decode_jpeg(data.tobytes()), red)
    for wrong in (b"", b"not a picture", data.tobytes()[:20]):
        with pytest.raises(ValueError, match="expected the bytes of a JPEG or PNG picture"):
            decode_jpeg(wrong)


def test_wrong_views_and_wrong_pictures_are_refused_by_name() -> None:
    front, side = (Image(view, 1, picture(90, 160)) for view in ("front", "side"))
    assert len(checked_views([front, side], ("front", "side"))) == 2
    with pytest.raises(ValueError, match="expected the views front, side in this order, got side, front"):
        checked_views([side, front], ("front", "side"))
    with pytest.raises(ValueError, match="start the cameras"):
        checked_views([])
    for rgb in (np.zeros((90, 160), np.uint8), np.zeros((90, 160, 3), np.float32), np.zeros((0, 160, 3), np.uint8)):
        with pytest.raises(ValueError, match="expected view 'side' as uint8"):
            checked_views([front, Image("side", 1, rgb)])
