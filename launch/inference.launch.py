"""The whole stack: drivers, policy, task and lifecycle manager, on the simulation or on hardware.

One launch per machine of a lab: `hosts:=` selects the parts that run here; the part `inference` holds the lifecycle
manager, which brings up the nodes of every machine.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from insertion_vla_policy.registry import checkpoint_folder, policy_names
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from insertion_vla import launch_arguments as check
from launch import LaunchDescription

SHARE = Path(get_package_share_directory("insertion_vla"))
LOADING_S = 180.0  # a node that loads, compiles and checks a model may take so long to configure
LATE = "nice -n 5"  # what may be late gives way to force, robot and actions on a small machine
ARGUMENTS = (
    ("hardware", "sim", "sim, meca500 or ros2_control"),
    (
        "policy",
        "diffusion",
        f"{', '.join(policy_names())}, a checkpoint's folder, or {check.SCRIPTED} (simulation only: privileged state)",
    ),
    ("instruction", "", "run this goal once everything is active; empty: wait for run_insertion goals"),
    ("cameras", "front,side,hand", "camera views to start and to feed to the policy"),
    ("hosts", "robot,cameras,sensor,inference", "parts that run on this machine"),
    ("namespace", "", "namespace of every node"),
    ("params_file", str(SHARE / "config" / "params.yaml"), "parameters of every node"),
    ("use_sim_time", "false", "take time from /clock (playing back a bag): true or false"),
    ("autostart", "true", "bring the nodes up at once; false: wait for system/start"),
    ("use_respawn", "false", "restart a node whose process ended; it stays inactive until system/start"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("record", "", "record every goal as a bag of its own into this folder (see record.launch.py for more)"),
    ("status", "true", "show the live status line: true or false"),
    ("seed", "0", "simulation: which scene"),
    ("host", "127.0.0.1", "simulation: loopback address of its devices"),
    ("video", "", "simulation: save a video here, FILE.gif or FILE.mp4"),
    ("viewer", "false", "simulation: open a window: true or false"),
)


def generate_launch_description() -> LaunchDescription:
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=stack)])


def stack(context) -> list:
    """Checks every argument, then names the processes of this machine; raises one sentence on a bad value."""
    given = context.launch_configurations
    hardware = check.one_of("hardware", given["hardware"], check.HARDWARE)
    policy = check.policy_on(hardware, given["policy"], policy_names())
    parts = check.some_of("hosts", given["hosts"], check.PARTS)
    views = check.some_of("cameras", given["cameras"], check.VIEWS)
    scripted, simulated = policy == check.SCRIPTED, hardware == "sim"
    expert = "scripted_expert" if scripted else "action_expert"
    cameras = [f"camera_{view}" for view in views]
    managed = [*cameras, "force_sensor", "arm", *([] if scripted else ["vlm"]), expert, "task"]
    common = {
        "package": "insertion_vla",
        "namespace": check.namespace(given["namespace"]),
        "respawn": check.yes_no("use_respawn", given["use_respawn"]),
        "respawn_delay": 1.0,
        "output": "screen",
        "ros_arguments": ["--log-level", check.one_of("log_level", given["log_level"], check.LOG_LEVELS)],
    }
    file = str(check.parameter_file(given["params_file"], check.NODES))
    clock = {"use_sim_time": check.yes_no("use_sim_time", given["use_sim_time"])}
    autostart = check.yes_no("autostart", given["autostart"])
    host = check.loopback(given["host"])

    def node(name: str, executable: str = "", prefix: str | None = None, **parameters) -> Node:
        settings = {"name": name, "executable": executable or name, "parameters": [file, clock | parameters]}
        return Node(prefix=prefix, **settings, **common)

    actions: list = []
    if "robot" in parts:
        if simulated:
            actions.append(_emulators(given))
        actions.append(
            node("arm", **({"backend": "meca500", "meca500.address": host} if simulated else {"backend": hardware}))
        )
    if "sensor" in parts:
        actions.append(node("force_sensor", **({"bind_address": host, "sender_address": host} if simulated else {})))
    if "cameras" in parts:
        for view in views:
            sim = {"driver": "zmq", "device": f"tcp://{host}:{check.CAMERA_PORTS[view]}"} if simulated else {}
            actions.append(node(f"camera_{view}", "camera", LATE, view=view, **sim))
    if "inference" in parts:
        if scripted:
            actions.append(node("scripted_expert", host=host))
        else:
            actions += [node("vlm", prefix=LATE, policy=policy, views=views), node("action_expert", policy=policy)]
        actions.append(node("task"))
        actions += _people(given, common["namespace"])
        # The last to start is the first that launch tells to end: it then knows why the others go.
        patience = {"transition_timeout_s": LOADING_S} if not scripted and checkpoint_folder(policy) else {}
        actions.append(node("lifecycle_manager", node_names=managed, autostart=autostart, **patience))
    if given["record"]:
        # Not managed: an insertion does not depend on it.
        folder = str(Path(given["record"]).expanduser().absolute())
        actions.append(node("episode", "recorder", folder=folder, auto=True))
    return actions


def _emulators(given: dict) -> IncludeLaunchDescription:
    source = PythonLaunchDescriptionSource(str(SHARE / "launch" / "sim.launch.py"))
    names = ("seed", "host", "video", "viewer")
    return IncludeLaunchDescription(source, launch_arguments=[(name, given[name]) for name in names])


def _people(given: dict, namespace: str) -> list[Node]:
    """What shows the run to people: the status line, and the goal of `instruction:=`."""
    common = {"package": "insertion_vla", "namespace": namespace, "output": "screen", "prefix": LATE}
    nodes = []
    if check.yes_no("status", given["status"]):
        nodes.append(Node(executable="status", name="status", **common))
    if given["instruction"]:
        nodes.append(Node(executable="insert", name="insert", arguments=["--quiet", given["instruction"]], **common))
    return nodes
