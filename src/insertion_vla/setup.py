from glob import glob

from setuptools import find_packages, setup

NAME = "insertion_vla"
NODES = (
    "camera",
    "force_sensor",
    "arm",
    "vlm",
    "action_expert",
    "scripted_expert",
    "task",
    "lifecycle_manager",
    "recorder",
)
TOOLS = ("status", "insert", "demo", "trials", "record_keys", "collect_episodes", "preflight")

setup(
    name=NAME,
    version="0.1.0",
    description="The ROS 2 nodes, launch files and command-line tools of insertion_vla.",
    license="Apache-2.0",
    maintainer="insertion_vla maintainers",
    maintainer_email="maintainers@insertion-vla.example.org",
    packages=find_packages(exclude=["test"]),
    package_data={"": ["*.yaml", "*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("../../launch/*.launch.py")),
        (f"share/{NAME}/config", glob("../../config/*.yaml")),
        (f"share/{NAME}/config/calibration", glob("../../config/calibration/*.yaml")),
        (f"share/{NAME}/config/contracts", glob("../../config/contracts/*.yaml")),
    ],
    install_requires=[
        "numpy",
        "opencv-python-headless",
        "pyzmq",
        "mecademicpy",
        "PyYAML",
        "psutil",
    ],
    extras_require={"test": ["pytest"]},
    tests_require=["pytest"],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            *(f"{name} = {NAME}.executables:{name}" for name in (*NODES, *TOOLS)),
        ]
    },
)
