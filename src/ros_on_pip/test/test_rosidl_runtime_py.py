"""Interfaces by name, messages to and from plain values."""

import array

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovariance, WrenchStamped
from rosidl_runtime_py import message_to_csv, message_to_ordereddict, message_to_yaml, set_message_fields
from rosidl_runtime_py.utilities import get_action, get_interface, get_message, get_service
from sensor_msgs.msg import JointState, MultiEchoLaserScan
from std_msgs.msg import ByteMultiArray, Float32MultiArray, Int32, String
from std_srvs.srv import SetBool, Trigger


def test_interfaces_are_found_by_name():
    assert get_message("std_msgs/msg/String") is String and get_message("std_msgs/String") is String
    assert get_service("std_srvs/srv/Trigger") is Trigger
    assert get_interface("std_srvs/srv/Trigger") is Trigger
    for getter, wrong in (
        (get_message, "std_srvs/srv/Trigger"),
        (get_service, "std_msgs/msg/String"),
        (get_action, "a"),
    ):
        with pytest.raises((ValueError, AttributeError, ImportError)):
            getter(wrong)


def test_yaml_is_that_of_upstream():
    message = WrenchStamped()
    message.header.stamp = Time(sec=1, nanosec=2)
    assert message_to_yaml(message).splitlines()[:6] == [
        "header:",
        "  stamp:",
        "    sec: 1",
        "    nanosec: 2",
        "  frame_id: ''",
        "wrench:",
    ]
    assert yaml.safe_load(message_to_yaml(message, flow_style=True)) == message_to_ordereddict(message)
    assert "ü" in message_to_yaml(String(data="ü"))


def test_long_values_are_cut_or_named():
    message = Float32MultiArray(data=[1.0] * 200)
    assert message_to_ordereddict(message, truncate_length=3)["data"] == [1.0, 1.0, 1.0, "..."]
    assert len(message_to_ordereddict(message)["data"]) == 200
    short = message_to_ordereddict(message, no_arr=True)
    assert short["data"] == "<sequence type: float, length: 200>"
    assert message_to_ordereddict(PoseWithCovariance(), no_arr=True)["covariance"] == "<array type: double[36]>"
    assert message_to_ordereddict(String(data="x" * 9), truncate_length=4)["data"] == "xxxx..."
    assert message_to_ordereddict(String(data="x" * 9), no_str=True)["data"] == "<string length: <9>>"


def test_csv_flattens_everything():
    message = JointState(name=["a", "b"], position=[1.0, 2.5])
    assert message_to_csv(message) == "0,0,,a,b,1.0,2.5"
    assert message_to_ordereddict(DiagnosticStatus(level=b"\x02"))["level"] == 2
    assert message_to_ordereddict(ByteMultiArray(data=[b"\x01", b"\x02"]))["data"] == [1, 2]


def test_plain_values_become_fields_of_the_right_type():
    message = JointState()
    set_message_fields(message, {"name": ["a", 1], "position": [1, 2], "header": {"frame_id": "base"}})
    assert message.name == ["a", "1"] and message.position == array.array("d", [1.0, 2.0])
    assert message.header.frame_id == "base"
    pose = PoseWithCovariance()
    set_message_fields(pose, {"covariance": list(range(36)), "pose": {"position": {"x": 1}}})
    assert isinstance(pose.covariance, np.ndarray) and pose.covariance[35] == 35 and pose.pose.position.x == 1.0
    nested = DiagnosticArray()
    set_message_fields(nested, {"status": [{"name": "a", "level": 1, "values": [{"key": "k", "value": 5}]}]})
    assert nested.status[0].level == b"\x01" and nested.status[0].values[0].value == "5"
    lidar = MultiEchoLaserScan()
    set_message_fields(lidar, {"ranges": [{"echoes": [1, 2]}]})
    assert lidar.ranges[0].echoes == array.array("f", [1.0, 2.0])
    flag = SetBool.Request()
    set_message_fields(flag, {"data": True})
    assert flag.data is True


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"dat": 1}, AttributeError),
        ({"data": 1.5}, TypeError),
        ({"data": "many"}, ValueError),
        ([1], TypeError),
    ],
)
def test_values_that_do_not_fit_are_refused(values, error):
    with pytest.raises(error):
        set_message_fields(Int32(), values)


def test_stamps_can_be_filled_in_when_sending():
    message = WrenchStamped()
    setters = set_message_fields(message, {"header": "auto"}, expand_header_auto=True)
    for setter in setters:
        setter(Time(sec=5))
    assert len(setters) == 1 and message.header.stamp.sec == 5
    setters = set_message_fields(message, {"header": {"stamp": "now"}}, expand_time_now=True)
    setters[0](Time(sec=6))
    assert message.header.stamp.sec == 6
    with pytest.raises(TypeError, match="mapping"):
        set_message_fields(WrenchStamped(), {"header": "auto"})
