"""Image messages to OpenCV images and back."""

import cv2
import cv_bridge
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError, getCvType
from cv_bridge.boost.cv_bridge_boost import CV_MAT_CNWrap, CV_MAT_DEPTHWrap
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
RANDOM = np.random.default_rng(0)


def picture(channels=3, dtype=np.uint8, height=12, width=20):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return RANDOM.integers(0, 120, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_every_type_survives_the_round_trip(dtype, channels):
    image = picture(channels, dtype)
    message = BRIDGE.cv2_to_imgmsg(image)
    assert (message.height, message.width, message.step) == (12, 20, 20 * channels * image.itemsize)
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == image.dtype and np.array_equal(back, image)


def test_one_channel_in_three_dimensions_becomes_two():
    back = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(picture(1)[:, :, None], "mono8"))
    assert back.shape == (12, 20)


def test_type_numbers_are_those_of_the_installed_opencv():
    for name in ("8UC1", "8UC3", "8UC4", "8SC2", "16UC1", "16SC4", "32SC1", "32FC1", "64FC3"):
        number = getattr(cv2, f"CV_{name}")
        depth, channels = name.split("C")
        assert getCvType(name) == number
        assert CV_MAT_DEPTHWrap(number) == getattr(cv2, f"CV_{depth}") and CV_MAT_CNWrap(number) == int(channels)
    assert getCvType("8U") == cv2.CV_8UC1 and getCvType("bgr8") == cv2.CV_8UC3 and getCvType("yuv422") == cv2.CV_8UC2
    assert BRIDGE.encoding_to_dtype_with_channels("32FC2") == ("float32", 2)
    assert BRIDGE.dtype_with_channels_to_cvtype2(np.dtype("uint16"), 3) == "16UC3"
    for unknown in ("bgr7", "8UC0", "8UC999", ""):
        with pytest.raises(CvBridgeError, match="Unrecognized"):
            BRIDGE.encoding_to_cvtype2(unknown)


def test_passthrough_shares_memory_and_conversion_does_not():
    message = BRIDGE.cv2_to_imgmsg(picture(), "bgr8")
    raw = np.frombuffer(message.data, np.uint8)
    assert np.shares_memory(BRIDGE.imgmsg_to_cv2(message), raw)
    assert not np.shares_memory(BRIDGE.imgmsg_to_cv2(message, "bgr8"), raw)
    assert not np.shares_memory(BRIDGE.imgmsg_to_cv2(message, "8UC3"), raw)


def test_padded_rows_are_cut():
    image = picture(1, np.uint16)
    rows = np.zeros((12, 48), np.uint8)
    rows[:, :40] = image.view(np.uint8)
    message = Image(height=12, width=20, encoding="mono16", step=48)
    message.data.frombytes(rows.tobytes())
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message), image)


def test_other_byte_order_is_swapped():
    image = picture(1, np.int32)
    message = BRIDGE.cv2_to_imgmsg(image.astype(">i4"))
    assert message.is_bigendian
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message), image)


def test_colours_change_places():
    image = picture()
    message = BRIDGE.cv2_to_imgmsg(image, "bgr8", Header(frame_id="front"))
    assert message.header.frame_id == "front" and message.encoding == "bgr8"
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message, "rgb8"), image[:, :, ::-1])
    rgba = BRIDGE.imgmsg_to_cv2(message, "rgba8")
    assert np.array_equal(rgba[:, :, :3], image[:, :, ::-1]) and (rgba[:, :, 3] == 255).all()
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message, "mono8"), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def test_depth_is_scaled_between_8_and_16_bits_only():
    eight = BRIDGE.cv2_to_imgmsg(np.array([[0, 1, 255]], np.uint8), "mono8")
    assert BRIDGE.imgmsg_to_cv2(eight, "mono16").tolist() == [[0, 257, 65535]]
    sixteen = BRIDGE.cv2_to_imgmsg(np.array([[0, 400, 65535]], np.uint16), "mono16")
    assert BRIDGE.imgmsg_to_cv2(sixteen, "mono8").tolist() == [[0, 2, 255]]
    metres = BRIDGE.cv2_to_imgmsg(np.array([[-1.0, 2.5, 1e9]], np.float32))
    assert BRIDGE.imgmsg_to_cv2(metres, "16UC1").tolist() == [[0, 2, 65535]]


def test_bayer_and_yuv_are_converted():
    # One colour over the whole picture: every pattern must give it back.
    red = np.zeros((8, 8), np.uint8)
    red[0::2, 0::2] = 200
    rgb = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(red, "bayer_rggb8"), "rgb8")
    assert rgb[4, 4].tolist() == [200, 0, 0]
    gray = np.full((4, 4, 2), 128, np.uint8)
    gray[:, :, 1] = 90  # UYVY: luma second
    assert (BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(gray, "yuv422"), "mono8") == 90).all()
    gray[:, :, 0], gray[:, :, 1] = 70, 128  # YUYV: luma first
    assert (BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(gray, "yuv422_yuy2"), "mono8") == 70).all()


@pytest.mark.parametrize(
    ("encoding", "wanted", "reason"),
    [
        ("8UC3", "bgr8", "not a color format"),
        ("8UC3", "mono16", "not a color format"),
        ("bgr8", "8UC1", "number of channels"),
        ("bgr8", "bayer_rggb8", "Unsupported"),
        ("bgr8", "nonsense", "Unrecognized"),
    ],
)
def test_senseless_conversions_are_refused(encoding, wanted, reason):
    with pytest.raises(CvBridgeError, match=reason):
        BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(picture(), encoding), wanted)


def test_wrong_images_are_refused():
    with pytest.raises(TypeError, match="numpy array"):
        BRIDGE.cv2_to_imgmsg(1, "bgr8")
    with pytest.raises(CvBridgeError, match="incompatible"):
        BRIDGE.cv2_to_imgmsg(picture(3), "rgba8")
    with pytest.raises(CvBridgeError, match="int64"):
        BRIDGE.cv2_to_imgmsg(picture(1, np.int64))
    with pytest.raises(CvBridgeError, match="dimensions"):
        BRIDGE.cv2_to_imgmsg(np.zeros(5, np.uint8))
    message = BRIDGE.cv2_to_imgmsg(picture(), "bgr8")
    message.height += 1
    with pytest.raises(CvBridgeError, match="13 rows of 60 bytes"):
        BRIDGE.imgmsg_to_cv2(message)


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "jpg", "jpeg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_images(extension, channels):
    image = np.full_like(picture(channels), 90)
    message = BRIDGE.cv2_to_compressed_imgmsg(image, extension)
    assert message.format == extension
    back = BRIDGE.compressed_imgmsg_to_cv2(message)
    assert back.shape == image.shape and np.abs(back.astype(int) - image).max() <= 2
    assert BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8").shape == (12, 20, 3)


def test_broken_compressed_images_are_refused():
    with pytest.raises(CvBridgeError, match="0 bytes"):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpg"))
    with pytest.raises(CvBridgeError, match="cannot decode"):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpg", data=b"no image"))
    with pytest.raises(CvBridgeError, match="nonsense"):
        BRIDGE.cv2_to_compressed_imgmsg(picture(), "nonsense")


def test_pictures_of_labels_and_depths():
    labels = np.repeat(np.arange(12, dtype=np.int32).reshape(3, 4), 5, axis=0)
    shown = cv_bridge.cvtColorForDisplay(labels, "32SC1", "bgr8")
    assert shown.shape == (15, 4, 3) and shown.dtype == np.uint8 and (shown.min(), shown.max()) == (0, 255)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 12
    depth = np.array([[1.0, 2.0, np.nan, 3.0]], np.float32)
    assert cv_bridge.cvtColorForDisplay(depth, "32FC1").tolist() == [[0, 128, 0, 255]]
    ranged = cv_bridge.cvtColorForDisplay(depth, "32FC1", "mono8", True, 0.0, 2.0)
    assert ranged.tolist() == [[128, 255, 0, 255]]
    assert cv_bridge.cvtColorForDisplay(picture(), "rgb8", "bgr8").shape == (12, 20, 3)
    with pytest.raises(RuntimeError, match="to display"):
        cv_bridge.cvtColorForDisplay(picture(), "rgb8", "mono16")
