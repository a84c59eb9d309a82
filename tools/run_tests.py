"""Run every check of the workspace: format, lint, types, `colcon test` per package and the tests of src/ros_on_pip.

Called by `make test` inside the workspace's environment. Ends with one line "N passed, N failed, N skipped" and exit
code 0 only if nothing failed and every package ran at least one test.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [
    "insertion_vla_core",
    "insertion_vla_policy",
    "insertion_vla_sim",
    "insertion_vla_training",
    "insertion_vla",
]
PYTEST = ["--durations=5"]
TYPED = ["src/insertion_vla_core/insertion_vla_core", "src/insertion_vla_policy/insertion_vla_policy"]


def step(title: str, command: list[str], env: dict[str, str] | None = None) -> bool:
    """Run one command with its output shown; True if it succeeded."""
    print(f"\n=== {title}", flush=True)
    started = time.monotonic()
    code = subprocess.call(command, cwd=ROOT, env=env)
    verdict = "ok" if code == 0 else f"FAILED (exit code {code})"
    print(f"=== {title}: {verdict} in {time.monotonic() - started:.0f} s", flush=True)
    return code == 0


def test_environment() -> dict[str, str]:
    """Real DDS on this machine only, strict message fields, no display."""
    env = dict(os.environ, ROS_PYTHON_CHECK_FIELDS="1", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    env.setdefault("ROS_DOMAIN_ID", "77")
    return env


def count(result: Path) -> dict[str, int]:
    """Tests, failures and skips of one JUnit file."""
    suite = next(ElementTree.parse(result).getroot().iter("testsuite"))
    tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return {"passed": tests - failed - skipped, "failed": failed, "skipped": skipped}


def colcon_test(package: str) -> bool:
    return step(
        f"tests of {package}",
        # fmt: off
        [
            "colcon",
            "test",
            "--base-paths",
            "src",
            "--packages-select",
            package,
            "--event-handlers",
            "console_direct+",
            "--return-code-on-test-failure",
            "--pytest-args",
            "-q",
            *PYTEST,
        ],
        # fmt: on
        test_environment(),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lint-only", action="store_true", help="format, lint and type check only")
    parser.add_argument("packages", nargs="*", help=f"only these of {', '.join([*PACKAGES, 'ros_on_pip'])}")
    arguments = parser.parse_args()
    # A shell's background job ignores SIGINT and would hand that on to the processes that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wheels = (ROOT / ".venv" / ".ros").read_text() == "wheels"
    known = [*PACKAGES, "ros_on_pip"] if wheels else PACKAGES
    if unknown := set(arguments.packages) - set(known):
        parser.error(f"unknown package {', '.join(sorted(unknown))}; expected one of {', '.join(known)}")

    ok = step("format", ["ruff", "format", "--check", "."])
    ok &= step("lint", ["ruff", "check", "."])
    for package in TYPED:
        ok &= step(f"types of {Path(package).name}", ["mypy", package])
    if arguments.lint_only:
        return 0 if ok else 1

    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for package in arguments.packages or known:
        result = ROOT / "build" / package / ("results.xml" if package == "ros_on_pip" else "pytest.xml")
        result.unlink(missing_ok=True)
        if package == "ros_on_pip":
            command = [sys.executable, "-m", "pytest", "-q", *PYTEST, "src/ros_on_pip", f"--junitxml={result}"]
            ok &= step(f"tests of {package}", command, test_environment())
        else:
            ok &= colcon_test(package)
        counts = count(result) if result.exists() else {"passed": 0, "failed": 1, "skipped": 0}
        if counts["passed"] == 0:
            print(f"expected {package} to run at least one test; it ran none")
            ok = False
        totals = {key: totals[key] + counts[key] for key in totals}

    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped", flush=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
