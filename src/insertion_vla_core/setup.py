from setuptools import find_packages, setup

NAME = "insertion_vla_core"

setup(
    name=NAME,
    version="0.1.0",
    description="Geometry, kinematics, time alignment, chunks, wire codecs and the contract. No ROS, no torch.",
    license="Apache-2.0",
    maintainer="insertion_vla maintainers",
    maintainer_email="maintainers@insertion-vla.example.org",
    packages=find_packages(exclude=["test"]),
    package_data={NAME: ["robots/*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=[
        "numpy",
        "pydantic",
        "PyYAML",
    ],
    extras_require={"test": ["pytest"]},
    tests_require=["pytest"],
    zip_safe=False,
    entry_points={"console_scripts": []},
)
