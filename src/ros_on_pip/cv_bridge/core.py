"""CvBridge: image messages to OpenCV images and back."""

import sys
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from cv_bridge.color import cvtColor2
from cv_bridge.encodings import DEPTH_NAMES, NUMPY_OF_DEPTH, CV_MAT_CNWrap, CV_MAT_DEPTHWrap, getCvType

PASSTHROUGH = "passthrough"
LITTLE_ENDIAN_HERE = sys.byteorder == "little"


class CvBridgeError(TypeError):
    """An image or an encoding that cannot be converted."""


class CvBridge:
    """Converts between sensor_msgs images and numpy arrays as OpenCV uses them.

    One channel is (height, width), more are (height, width, channels).
    """

    def __init__(self) -> None:
        self.cvtype_to_name = {
            getattr(cv2, f"CV_{depth}C{channels}"): f"{depth}C{channels}"
            for depth in DEPTH_NAMES
            for channels in (1, 2, 3, 4)
        }
        self.cvdepth_to_numpy_depth = dict(NUMPY_OF_DEPTH)
        self.numpy_type_to_cvtype = {dtype: depth for depth, dtype in DEPTH_NAMES.items()}
        self.numpy_type_to_cvtype.update(DEPTH_NAMES)

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype, n_channels: int) -> str:
        """Name of a type, for example '8UC3' of (uint8, 3)."""
        if dtype.name not in self.numpy_type_to_cvtype:
            known = ", ".join(DEPTH_NAMES.values())
            raise CvBridgeError(f"expected an image of type {known}, got {dtype.name}")
        return f"{self.numpy_type_to_cvtype[dtype.name]}C{n_channels}"

    def cvtype2_to_dtype_with_channels(self, cvtype: int) -> tuple[str, int]:
        """numpy type name and number of channels of an OpenCV type number."""
        return self.cvdepth_to_numpy_depth[CV_MAT_DEPTHWrap(cvtype)], CV_MAT_CNWrap(cvtype)

    def encoding_to_cvtype2(self, encoding: str) -> int:
        """OpenCV's type number of an encoding, for example cv2.CV_8UC3 of 'bgr8'."""
        try:
            return getCvType(encoding)
        except RuntimeError as error:
            raise CvBridgeError(str(error)) from error

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """numpy type name and number of channels of an encoding."""
        return self.cvtype2_to_dtype_with_channels(self.encoding_to_cvtype2(encoding))

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = PASSTHROUGH) -> np.ndarray:
        """The image of a message.

        Args:
            img_msg: The message.
            desired_encoding: Encoding to convert to. 'passthrough' keeps the message's and shares its memory.

        Raises:
            CvBridgeError: Unknown encoding, a size that does not fit the data, or no such conversion.
        """
        dtype_name, channels = self.encoding_to_dtype_with_channels(img_msg.encoding)
        dtype = np.dtype(dtype_name).newbyteorder(">" if img_msg.is_bigendian else "<")
        image = _shaped(img_msg, dtype, channels)
        if img_msg.is_bigendian == LITTLE_ENDIAN_HERE and dtype.itemsize > 1:
            image = image.astype(dtype.newbyteorder("="))
        else:
            image = image.view(dtype.newbyteorder("="))
        if desired_encoding == PASSTHROUGH:
            return image
        return self._convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(self, cvim: np.ndarray, encoding: str = PASSTHROUGH, header: Any = None) -> Image:
        """The message of an image.

        Args:
            cvim: (height, width) or (height, width, channels).
            encoding: What its channels mean; 'passthrough' names only their type, for example 8UC3.
            header: std_msgs/Header to use.

        Raises:
            TypeError: `cvim` is no numpy array.
            CvBridgeError: The image does not have the type that `encoding` stands for.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError(f"expected a numpy array, got {type(cvim).__name__}")
        if cvim.ndim not in (2, 3):
            raise CvBridgeError(f"expected an image of 2 or 3 dimensions, got {cvim.ndim}")
        cv_type = self.dtype_with_channels_to_cvtype2(cvim.dtype, 1 if cvim.ndim == 2 else cvim.shape[2])
        message = Image()
        if header is not None:
            message.header = header
        message.height, message.width = cvim.shape[:2]
        if encoding == PASSTHROUGH:
            message.encoding = cv_type
        else:
            if self.encoding_to_cvtype2(encoding) != self.encoding_to_cvtype2(cv_type):
                raise CvBridgeError(f"encoding specified as {encoding}, but image has incompatible type {cv_type}")
            message.encoding = encoding
        big = cvim.dtype.byteorder == ">" or (cvim.dtype.byteorder == "=" and not LITTLE_ENDIAN_HERE)
        message.is_bigendian = int(big)
        message.step = int(cvim.nbytes // cvim.shape[0]) if cvim.shape[0] else 0
        if cvim.nbytes:
            message.data.frombytes(np.ascontiguousarray(cvim).data.cast("B"))
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = PASSTHROUGH
    ) -> np.ndarray:
        """The image in a JPEG, PNG, ... message, BGR unless another encoding is desired.

        Raises:
            CvBridgeError: The data is no image that OpenCV can decode, or no such conversion.
        """
        data = np.frombuffer(cmprs_img_msg.data, dtype=np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
        if image is None:
            raise CvBridgeError(f"expected an encoded image, got {len(data)} bytes that OpenCV cannot decode")
        if desired_encoding == PASSTHROUGH:
            return image
        bits = image.dtype.itemsize * 8
        channels = 1 if image.ndim == 2 else image.shape[2]
        family = {1: "mono", 3: "bgr", 4: "bgra"}.get(channels, "bgr")
        return self._convert(image, f"{family}{bits}", desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: np.ndarray, dst_format: str = "jpg") -> CompressedImage:
        """A compressed message of an image; `dst_format` is a file extension that OpenCV writes, such as jpg or png.

        Raises:
            TypeError: `cvim` is no numpy array.
            CvBridgeError: OpenCV cannot encode this image in this format.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError(f"expected a numpy array, got {type(cvim).__name__}")
        try:
            done, encoded = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"OpenCV cannot encode this image as {dst_format}: {error}") from error
        if not done:
            raise CvBridgeError(f"OpenCV cannot encode this image as {dst_format}")
        message = CompressedImage(format=dst_format)
        message.data.frombytes(encoded.data.cast("B"))
        return message

    @staticmethod
    def _convert(image: np.ndarray, encoding_in: str, encoding_out: str) -> np.ndarray:
        try:
            return cvtColor2(image, encoding_in, encoding_out)
        except (RuntimeError, cv2.error) as error:
            raise CvBridgeError(str(error)) from error


def _shaped(img_msg: Image, dtype: np.dtype, channels: int) -> np.ndarray:
    """A view of the message's data without the padding at the end of rows."""
    height, width, step = img_msg.height, img_msg.width, img_msg.step
    data = img_msg.data if not isinstance(img_msg.data, list) else bytes(img_msg.data)
    row_bytes = width * channels * dtype.itemsize
    if step < row_bytes or len(data) < height * step:
        raise CvBridgeError(
            f"expected at least {height} rows of {row_bytes} bytes for {width}x{height} {img_msg.encoding}, "
            f"got {len(data)} bytes in rows of {step}"
        )
    if not height or not width:
        return np.zeros((height, width) if channels == 1 else (height, width, channels), dtype)
    rows = np.ndarray((height, row_bytes), np.uint8, data, strides=(step, 1))
    # A no-op without padding; with it, a copy is what makes the rows viewable as wider elements.
    pixels = np.ascontiguousarray(rows).view(dtype)
    return pixels if channels == 1 else pixels.reshape(height, width, channels)
