#!/usr/bin/env python3
"""Set up the workspace: virtual environment, pinned packages, the wheels' path fix and the colcon build.

Run by `make setup` (and by every other target). Needs nothing but a Python's standard library, so it can say in a
sentence what is missing. Each step leaves a stamp with a hash of what it depends on and is skipped while that holds.
`setup_workspace.py demo` leaves out what only training, tests and checks need.

With a sourced ROS 2 distribution (ROS_DISTRO set and its rclpy importable) the virtual environment is laid over it
and only what the distribution lacks is installed; otherwise ROS 2 comes from PyPI wheels and `src/ros_on_pip`.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
PYTHONS = ((3, 11), (3, 12))
SETS = {
    "everything": ("runtime", "sim", "inference", "policy", "training", "dev"),
    "demo": ("runtime", "sim", "inference"),
}
DISK_GB = {"everything": 4.5, "demo": 2.7}
EXIT_REFUSED = 2


class StepFailed(Exception):
    """A step of the set-up failed; the text says what was expected, what came and what to do."""


def say(text):
    print(f"[setup] {text}", flush=True)


def run(command, what, remedy, env=None, log_name="setup.log"):
    """Run a command with its output in a log file; raise StepFailed with the end of that output."""
    log = ROOT / "log" / log_name
    log.parent.mkdir(exist_ok=True)
    with open(log, "ab") as output:
        output.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        start = output.tell()
        code = subprocess.call([str(c) for c in command], stdout=output, stderr=output, env=env, cwd=ROOT)
    if code == 0:
        return
    tail = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
    tail = [line for line in tail if "WARNING: Location" not in line][-12:]
    raise StepFailed(
        f"expected {what}; it ended with exit code {code}:\n    "
        + "\n    ".join(tail)
        + f"\n  what to do: {remedy(' '.join(tail)) if callable(remedy) else remedy}\n  full log: {log}"
    )


def python_version(python):
    """(major, minor) of an interpreter, or None if it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        out = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
        return tuple(map(int, out.stdout.split()))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def find_python(distribution):
    """The interpreter to build on: the distribution's own, this one, or a suitable one on the PATH."""
    if distribution:
        return shutil.which("python3") or sys.executable
    if sys.version_info[:2] in PYTHONS and not in_venv():
        return sys.executable
    for major, minor in PYTHONS:
        found = shutil.which(f"python{major}.{minor}")
        if found and python_version(found) == (major, minor):
            return found
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    wanted = " or ".join(f"{a}.{b}" for a, b in PYTHONS)
    raise StepFailed(
        f"expected Python {wanted}; found {platform.python_version()} at {sys.executable}\n"
        f"  what to do: install python3.12 and run  make PYTHON=python3.12 <target>"
    )


def in_venv():
    return sys.prefix != sys.base_prefix


def find_distribution():
    """Name of the sourced ROS 2 distribution, or None. The wheels' own environment does not count."""
    name = os.environ.get("ROS_DISTRO")
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    foreign = [p for p in prefixes if ROOT not in (Path(p), *Path(p).parents)]
    if not name or not foreign:
        return None
    code = "import rclpy, launch_ros; from importlib.metadata import distributions as d; "
    code += "print(any(p.name == 'ros-rclpy' for p in d()))"
    probe = subprocess.run(["python3", "-c", code], capture_output=True, text=True, cwd="/")
    if probe.stdout.strip() == "True":  # another clone's wheels are sourced in this shell
        return None
    if probe.returncode != 0:
        raise StepFailed(
            f"expected the sourced ROS 2 distribution '{name}' to offer rclpy and launch_ros; importing them said:\n"
            f"    {probe.stderr.strip().splitlines()[-1] if probe.stderr.strip() else 'nothing'}\n"
            "  what to do: install ros-$ROS_DISTRO-ros-base, or open a shell without ROS sourced to use the wheels"
        )
    return name


def check_machine(distribution, purpose):
    say(
        f"checking the machine: {platform.system()} {platform.machine()}, "
        + (f"ROS 2 {distribution} is sourced" if distribution else "no ROS 2 sourced, using wheels")
    )
    if platform.system() != "Linux":
        raise StepFailed(f"expected Linux; found {platform.system()}\n  what to do: use a Linux machine or container")
    if not distribution and platform.machine() != "x86_64":
        raise StepFailed(
            f"expected x86_64, the only processor the ROS 2 wheels exist for; found {platform.machine()}\n"
            "  what to do: install and source a ROS 2 distribution (Jazzy), then run this again"
        )
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise StepFailed(
            "expected a C++ compiler (c++, g++ or clang++) on the PATH; found none\n"
            "  what to do: sudo apt install g++   (Fedora: sudo dnf install gcc-c++)"
        )
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if not VENV.exists() and free_gb < DISK_GB[purpose]:
        raise StepFailed(
            f"expected {DISK_GB[purpose]} GB of free disk under {ROOT}; found {free_gb:.1f} GB\n"
            "  what to do: free some space or clone to another disk"
        )
    if not os.access(ROOT, os.W_OK):
        raise StepFailed(f"expected a writable folder; {ROOT} is not\n  what to do: clone into a folder of your own")


def digest(paths, *extra):
    """Hash over file names and contents, and any extra text."""
    h = hashlib.sha256(repr(extra).encode())
    for path in sorted(paths):
        h.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return h.hexdigest()


def fresh(stamp, value):
    path = VENV / f".{stamp}"
    return path.is_file() and path.read_text() == value


def done(stamp, value):
    (VENV / f".{stamp}").write_text(value)


def make_venv(python, distribution):
    """Create the virtual environment, anew if the interpreter, the place or the kind of ROS changed."""
    kind = f"{python_version(python)} {'distribution ' + distribution if distribution else 'wheels'} {ROOT}"
    if fresh("kind", kind) and (VENV / "bin" / "python").exists():
        return
    say(f"creating the virtual environment .venv with {python}")
    if VENV.exists():
        shutil.rmtree(VENV)
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    shutil.rmtree(ROOT / "install", ignore_errors=True)
    command = [python, "-m", "venv", *(["--system-site-packages"] if distribution else []), VENV]
    major, minor = python_version(python)
    run(command, "a virtual environment", f"sudo apt install python{major}.{minor}-venv  (the venv module is missing)")
    done("ros", "distribution" if distribution else "wheels")
    done("kind", kind)


def pip_remedy(tail):
    if re.search(r"No space left", tail):
        return f"free at least {DISK_GB['everything']} GB of disk and run this again"
    if re.search(r"resolution|connection|timed out|unreachable|Network|No matching distribution", tail, re.I):
        return "check the network connection (or the package index that pip is set up to use) and run this again"
    return "read the lines above; run this again once the cause is mended"


def distribution_constraints():
    """The constraints with the distribution's own numpy: its message packages are compiled against that one."""
    numpy = subprocess.run(
        ["python3", "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True, cwd="/"
    ).stdout.strip()
    lines = (REQUIREMENTS / "constraints.txt").read_text().splitlines()
    kept = [line for line in lines if not re.match(r"(numpy|opencv-python-headless|ros-|[a-z_]+_msgs)", line)]
    path = VENV / "constraints.txt"
    path.write_text("\n".join([*kept, f"numpy=={numpy}" if numpy else "numpy"]) + "\n")
    return path


def install_packages(distribution, purpose):
    """Install the sets of a purpose, unless they or more are there in the pinned versions."""
    values = {each: packages_digest(distribution, each) for each in SETS}
    if fresh("packages", values["everything"]) or fresh("packages", values[purpose]):
        return
    sets = packages(distribution, purpose)
    files = [REQUIREMENTS / f"{name}.txt" for name in sets]
    constraints = distribution_constraints() if distribution else REQUIREMENTS / "constraints.txt"
    say(f"installing pinned packages ({', '.join(sets)}); the first time takes minutes")
    run(
        [
            VENV / "bin" / "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "-c",
            constraints,
            *(part for f in files for part in ("-r", f)),
        ],
        "pip to install the pinned packages",
        pip_remedy,
    )
    if not distribution:
        fix_wheel_paths()
    done("packages", values[purpose])


def packages(distribution, purpose):
    """Names of the pinned sets; a distribution has ROS itself."""
    return SETS[purpose] if distribution else ("ros", *SETS[purpose])


def packages_digest(distribution, purpose):
    names = (*packages(distribution, purpose), "constraints")
    return digest([REQUIREMENTS / f"{name}.txt" for name in names])


def fix_wheel_paths():
    """The wheels' CMake files name the Python of the machine that built them; name this one instead."""
    query = "import sysconfig; print(sysconfig.get_config_var('INCLUDEPY')); print(sysconfig.get_paths()['purelib'])"
    include, site = subprocess.check_output([VENV / "bin" / "python", "-c", query], text=True).splitlines()
    build_python = r"[^;\"\s]*/python/cp3\d+-cp3\d+"
    say("pointing the wheels' CMake files at this Python")
    if not (Path(include) / "Python.h").exists():
        raise StepFailed(
            f"expected Python's C headers at {include}; Python.h is not there\n"
            f"  what to do: sudo apt install python3-dev (or python{sys.version_info[0]}.{sys.version_info[1]}-dev)"
        )
    for path in VENV.glob("share/*/cmake/*.cmake"):
        text = path.read_text()
        new = re.sub(build_python + r"/include/python3\.\d+", lambda _: include, text)
        new = re.sub(build_python + r"/lib/python3\.\d+/site-packages", lambda _: site, new)
        if new != text:
            path.write_text(new)


def install_ros_on_pip(distribution):
    if distribution:
        return
    value = digest([ROOT / "src" / "ros_on_pip" / "pyproject.toml"])
    if fresh("ros_on_pip", value):
        return
    say("installing src/ros_on_pip (launch, ros2, rosbag2_py ... which have no wheels)")
    run(
        [
            VENV / "bin" / "pip",
            "install",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-build-isolation",
            "-e",
            ROOT / "src" / "ros_on_pip",
        ],
        "pip to install src/ros_on_pip",
        pip_remedy,
    )
    done("ros_on_pip", value)


def build_inputs():
    """Files whose change needs a new build; Python sources are linked into the install space and need none."""
    names = ("package.xml", "setup.py", "setup.cfg", "CMakeLists.txt")
    for package in (ROOT / "src").glob("insertion_vla*"):
        for path in package.rglob("*"):
            if path.is_file() and (path.name in names or path.suffix in (".msg", ".srv", ".action")):
                yield path


def build(distribution):
    listing = [str(p.relative_to(ROOT)) for d in ("launch", "config", "models") for p in sorted((ROOT / d).rglob("*"))]
    value = digest(build_inputs(), listing)
    if fresh("build", value) and (ROOT / "install" / "local_setup.bash").exists():
        return
    say("building the workspace with colcon; about half a minute the first time")
    env = dict(os.environ, PATH=f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}", VIRTUAL_ENV=str(VENV))
    if not distribution:
        env.pop("PYTHONPATH", None)
        env.update(AMENT_PREFIX_PATH=str(VENV), CMAKE_PREFIX_PATH=str(VENV))
    colcon = VENV / "bin" / "colcon" if (VENV / "bin" / "colcon").exists() else "colcon"
    run(
        [
            colcon,
            "build",
            "--symlink-install",
            "--base-paths",
            "src",
            "--event-handlers",
            "console_direct+",
            "--cmake-args",
            f"-DPython3_EXECUTABLE={VENV / 'bin' / 'python'}",
            "-DBUILD_TESTING=OFF",
            "--no-warn-unused-cli",
        ],
        "colcon to build the workspace",
        "read the lines above; 'make clean' and a second run rebuild from nothing",
        env,
    )
    fix_shebangs()
    done("build", value)


def fix_shebangs():
    """Linked installs name the interpreter by its path, which the kernel cuts at a space: let env find it instead."""
    for script in (ROOT / "install").glob("*/lib/*/*"):
        if script.is_file() and os.access(script, os.X_OK):
            first, _, rest = script.read_bytes().partition(b"\n")
            if first.startswith(b"#!") and b"python" in first:
                script.write_bytes(b"#!/usr/bin/env python3\n" + rest)


def main():
    started = time.monotonic()
    purpose = sys.argv[1] if len(sys.argv) > 1 else "everything"
    if purpose not in SETS:
        print(f"[setup] expected one of {', '.join(SETS)}, got '{purpose}'", file=sys.stderr)
        return EXIT_REFUSED
    try:
        distribution = find_distribution()
        if not (VENV / ".build").exists():
            check_machine(distribution, purpose)
        make_venv(find_python(distribution), distribution)
        install_packages(distribution, purpose)
        install_ros_on_pip(distribution)
        build(distribution)
    except StepFailed as failure:
        print(f"[setup] FAILED: {failure}", file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        print("[setup] interrupted; run it again to go on", file=sys.stderr)
        return 130
    say(f"workspace ready ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
