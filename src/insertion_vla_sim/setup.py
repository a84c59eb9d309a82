from setuptools import find_packages, setup

NAME = "insertion_vla_sim"

setup(
    name=NAME,
    version="0.1.0",
    description="MuJoCo world and device emulators that stand in for the hardware of insertion_vla.",
    license="Apache-2.0",
    maintainer="insertion_vla maintainers",
    maintainer_email="maintainers@insertion-vla.example.org",
    packages=find_packages(exclude=["test"]),
    package_data={"": ["*.yaml", "*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=[
        "numpy",
        "mujoco-core",
        "pyzmq",
        "opencv-python-headless",
        "pillow",
        "PyYAML",
    ],
    extras_require={"test": ["pytest", "hypothesis", "mecademicpy"]},
    tests_require=["pytest"],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "sim = insertion_vla_sim.main_sim:main",
            "sim_render = insertion_vla_sim.main_render:main",
        ]
    },
)
