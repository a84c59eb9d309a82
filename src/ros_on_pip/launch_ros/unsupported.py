"""Names of upstream's launch_ros that are left out, with the reason."""

REASONS = {
    "ComposableNode": "components are C++ libraries, which PyPI does not carry",
    "ComposableLifecycleNode": "components are C++ libraries, which PyPI does not carry",
    "ComposableNodeContainer": "components are C++ libraries, which PyPI does not carry",
    "LoadComposableNodes": "components are C++ libraries, which PyPI does not carry",
    "RosExecutable": "it is not part of ROS 2 Jazzy",
    "NodeTrait": "it is not part of ROS 2 Jazzy",
}


def refuse(module: str, name: str) -> Exception:
    """What to raise from a module's `__getattr__`."""
    if name in REASONS:
        return ImportError(
            f"{module}.{name} is not supported by src/ros_on_pip: {REASONS[name]}; use a ROS 2 distribution for it"
        )
    return AttributeError(f"module {module!r} has no attribute {name!r}")
