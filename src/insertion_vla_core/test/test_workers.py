"""Workers: Ctrl-C while one is still being started, and the end of the parent."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from insertion_vla_core.workers import start_worker, worker_context

if __name__ != "__main__":  # what a worker imports before its first task
    print("importing", flush=True)
    time.sleep(1.0)

def task(number):
    print("working", flush=True)
    time.sleep(number)
    return number

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=worker_context(), initializer=start_worker) as pool:
        future = pool.submit(task, float(sys.argv[1]))
        try:
            future.result()
        except KeyboardInterrupt:
            print(f"result {future.result()}", flush=True)
"""


@pytest.fixture
def started(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    processes = []

    def start(task_s):
        process = subprocess.Popen(
            [sys.executable, str(program), task_s],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_ctrl_c_while_a_worker_imports_its_modules_does_not_reach_it(started):
    process = started("0")
    assert process.stdout.readline() == "importing\n"
    os.killpg(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert said == "working\nresult 0.0\n" and errors == ""


def test_a_worker_ends_with_a_parent_that_was_killed(started):
    process = started("600")
    assert [process.stdout.readline() for _ in range(2)] == ["importing\n", "working\n"]
    process.kill()
    process.communicate(timeout=30)  # which ends when the worker has closed its output too
