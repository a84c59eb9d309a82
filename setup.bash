# Puts this workspace into the current bash shell:  source setup.bash
# Without a ROS 2 distribution that is the virtual environment with the ROS 2 wheels; with one, the distribution
# sourced before. `make setup` must have run once.

_workspace="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
if [ ! -f "$_workspace/.venv/.ros" ] || [ ! -f "$_workspace/install/local_setup.bash" ]; then
    echo "expected a built workspace in $_workspace; found none: run 'make setup' there first" >&2
    return 1
fi
source "$_workspace/.venv/bin/activate"
if [ "$(cat "$_workspace/.venv/.ros")" = wheels ]; then
    export AMENT_PREFIX_PATH="$_workspace/.venv" CMAKE_PREFIX_PATH="$_workspace/.venv" ROS_DISTRO=jazzy ROS_VERSION=2
    # The wheels start Python a second time to set this path; setting it here halves every node's start.
    for _libs in "$_workspace"/.venv/lib "$_workspace"/.venv/lib/python3.*/site-packages/ros_*.libs; do
        case ":${LD_LIBRARY_PATH:-}:" in
            *":$_libs:"*) ;;
            *) [ -d "$_libs" ] && export LD_LIBRARY_PATH="$_libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ;;
        esac
    done
    export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
else
    # The distribution's own `ros2` starts with the system's Python, which does not look into the virtual environment.
    for _libs in "$_workspace"/.venv/lib/python3.*/site-packages; do
        case ":${PYTHONPATH:-}:" in
            *":$_libs:"*) ;;
            *) export PYTHONPATH="$_libs${PYTHONPATH:+:$PYTHONPATH}" ;;
        esac
    done
fi
# colcon's script calls its Python unquoted; the virtual environment's own may lie in a path with spaces.
COLCON_PYTHON_EXECUTABLE="$(readlink -f "$_workspace/.venv/bin/python")" source "$_workspace/install/local_setup.bash"
# Nodes that restart are found within 0.3 s instead of 3 s.
export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$_workspace/config/fastdds.xml}"
unset _workspace _libs
