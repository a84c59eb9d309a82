"""Every test of this folder runs on its own ROS domain, on this machine only, with strict message fields."""

import os

os.environ.update(
    ROS_DOMAIN_ID="42",
    ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
    ROS_PYTHON_CHECK_FIELDS="1",
)
