"""Between ROS image messages and OpenCV (numpy) images."""

from cv_bridge.boost.cv_bridge_boost import cvtColorForDisplay, getCvType
from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError", "cvtColorForDisplay", "getCvType"]
