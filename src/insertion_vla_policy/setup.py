from glob import glob

from setuptools import find_packages, setup

NAME = "insertion_vla_policy"
MODELS = [folder.rstrip("/").removeprefix("../../") for folder in glob("../../models/**/", recursive=True)]

setup(
    name=NAME,
    version="0.1.0",
    description="Vision-language backbones and action experts of insertion_vla.",
    license="Apache-2.0",
    maintainer="insertion_vla maintainers",
    maintainer_email="maintainers@insertion-vla.example.org",
    packages=find_packages(exclude=["test"]),
    package_data={"": ["*.yaml", "*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *((f"share/{NAME}/{folder}", glob(f"../../{folder}/*.*")) for folder in MODELS),
    ],
    install_requires=[
        "numpy",
        "opencv-python-headless",
        "PyYAML",
    ],
    # The classical policy runs without these.
    extras_require={
        "learned": ["torch", "safetensors", "diffusers"],
        "onnx": ["onnx", "onnxscript", "onnxruntime"],
        "test": ["pytest"],
    },
    tests_require=["pytest"],
    zip_safe=False,
    entry_points={"console_scripts": []},
)
