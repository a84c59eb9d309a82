from glob import glob

from setuptools import find_packages, setup

NAME = "insertion_vla_training"
VERBS = (
    "preprocess",
    "recover",
    "collect",
    "train_tiny_vl",
    "cache",
    "import",
    "export",
    "inspect",
    "train",
    "validate",
    "evaluate",
    "compare",
    "profile",
    "analyze",
)
MODULES = {"import": "import_"}  # a word of Python

setup(
    name=NAME,
    version="0.1.0",
    description="From recorded episodes to data sets to checkpoints of insertion_vla, and their evaluation.",
    license="Apache-2.0",
    maintainer="insertion_vla maintainers",
    maintainer_email="maintainers@insertion-vla.example.org",
    packages=find_packages(exclude=["test"]),
    package_data={"": ["*.yaml", "*.xml"], f"{NAME}.inspection": ["templates/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        # A machine without ROS needs the definitions to write bags.
        (f"share/{NAME}/msg", glob("../insertion_vla_interfaces/msg/*.msg")),
    ],
    install_requires=[
        "numpy",
        "PyYAML",
        "mcap",
        "rosbags",
        "zstandard",
        "lz4",
        "zarr>=3",
        "torch",
        "safetensors",
        "tqdm",
        "psutil",
        "tensorboard",
        "tyro",
        "accelerate",
        "h5py",
        "pyarrow",
        "av",
        "Pillow",
        "jinja2",
        "matplotlib",
        "opencv-python-headless",
    ],
    extras_require={"test": ["pytest", "hypothesis"], "wandb": ["wandb"]},
    tests_require=["pytest"],
    zip_safe=False,
    entry_points={
        "console_scripts": [f"{verb} = {NAME}.{MODULES.get(verb, verb)}:main" for verb in VERBS],
    },
)
