"""Run every check of the workspace: format, lint, types, `colcon test` per package and the tests of src/ros_on_pip.

Called by `make test` inside the workspace's environment. Ends with one line "N passed, N failed, N skipped" and exit
code 0 only if nothing failed and every package ran at least one test.

The training package, which takes long and needs no ROS, is tested beside the others that need none. The packages that
run the graph come after, one by one: they need the machine's time.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
TRAINING = "insertion_vla_training"
QUIET = ["insertion_vla_core", "insertion_vla_policy", "insertion_vla_sim"]  # beside training
GRAPH = ["insertion_vla", "ros_on_pip"]  # after it
PYTEST = ["-q", "--durations=5"]
TYPED = ["src/insertion_vla_core/insertion_vla_core", "src/insertion_vla_policy/insertion_vla_policy"]


class Step:
    """One command, running from the beginning on; its output is shown at once, or in one piece when it has ended."""

    def __init__(self, title: str, command: list[str], env: dict[str, str] | None = None, shown: bool = True) -> None:
        self._title, self._started = title, time.monotonic()
        print(f"\n=== {title}{'' if shown else ', shown when they have ended'}", flush=True)
        self._output: IO[bytes] | None = None if shown else (ROOT / "build" / f"{TRAINING}.txt").open("wb+")
        errors = None if shown else subprocess.STDOUT
        self._process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=self._output, stderr=errors)

    def succeeded(self) -> bool:
        """Wait for its end."""
        code = self._process.wait()
        if self._output is not None:
            self._output.seek(0)
            print(f"\n=== {self._title}\n{self._output.read().decode(errors='replace')}")
            self._output.close()
        verdict = "ok" if code == 0 else f"FAILED (exit code {code})"
        print(f"=== {self._title}: {verdict} in {time.monotonic() - self._started:.0f} s", flush=True)
        return code == 0


def test_environment() -> dict[str, str]:
    """Real DDS on this machine only, strict message fields, no display."""
    env = dict(os.environ, ROS_PYTHON_CHECK_FIELDS="1", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    env.setdefault("ROS_DOMAIN_ID", "77")
    return env


def tests_of(package: str, shown: bool = True) -> Step:
    """Begin the tests of a package."""
    result_of(package).unlink(missing_ok=True)
    if package == "ros_on_pip":
        command = [sys.executable, "-m", "pytest", *PYTEST, "src/ros_on_pip", f"--junitxml={result_of(package)}"]
    else:
        words = ["--base-paths", "src", "--packages-select", package, "--event-handlers", "console_direct+"]
        command = ["colcon", "--log-base", f"log/{package}", "test", *words, "--return-code-on-test-failure"]
        command += ["--pytest-args", *PYTEST]
    return Step(f"tests of {package}", command, test_environment(), shown)


def result_of(package: str) -> Path:
    """The JUnit file of a package's tests."""
    return ROOT / "build" / package / ("results.xml" if package == "ros_on_pip" else "pytest.xml")


def count(package: str) -> dict[str, int]:
    """Tests that passed, failed and were skipped; tests that left no result count as one failure."""
    if not result_of(package).exists():
        return {"passed": 0, "failed": 1, "skipped": 0}
    suite = next(ElementTree.parse(result_of(package)).getroot().iter("testsuite"))
    tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return {"passed": tests - failed - skipped, "failed": failed, "skipped": skipped}


def lint() -> bool:
    """Format, lint and types."""
    ok = Step("format", ["ruff", "format", "--check", "."]).succeeded()
    ok &= Step("lint", ["ruff", "check", "."]).succeeded()
    for package in TYPED:
        ok &= Step(f"types of {Path(package).name}", ["mypy", package]).succeeded()
    return ok


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*QUIET, TRAINING, *GRAPH]
    if (ROOT / ".venv" / ".ros").read_text() != "wheels":
        known.remove("ros_on_pip")
    parser.add_argument("--lint-only", action="store_true", help="format, lint and type check only")
    parser.add_argument("packages", nargs="*", help=f"only these of {', '.join(known)}")
    given = parser.parse_args()
    # A shell's background job ignores SIGINT and would hand that on to the processes that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if unknown := set(given.packages) - set(known):
        parser.error(f"unknown package {', '.join(sorted(unknown))}; expected one of {', '.join(known)}")
    if given.lint_only:
        return 0 if lint() else 1

    chosen = [package for package in known if package in (given.packages or known)]
    training = tests_of(TRAINING, shown=len(chosen) == 1) if TRAINING in chosen else None
    ok = lint()
    for package in chosen:
        ok &= (training if training and package == TRAINING else tests_of(package)).succeeded()
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for package in chosen:
        counts = count(package)
        if counts["passed"] == 0:
            print(f"expected {package} to run at least one test; it ran none")
            ok = False
        totals = {key: totals[key] + counts[key] for key in totals}
    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped", flush=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
