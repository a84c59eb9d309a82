"""Runs one insertion on a running graph: `ros2 run insertion_vla insert "insert the needle into the green trocar"`.

Waits until the system is ACTIVE, sends the goal and says how it ended; Ctrl-C cancels the goal. Exit code 0 on success.
"""

import argparse
import signal
import sys
import threading

from rclpy.utilities import remove_ros_args

from insertion_vla.live_line import LiveLine
from insertion_vla.run_client import Interrupted, RunClient, RunError
from insertion_vla.summary import result_rows, table

ACTIVE_TIMEOUT_S = 120.0


def main() -> int:
    """Runs one goal."""
    parser = argparse.ArgumentParser(prog="insert", description="Run one insertion on a running graph.")
    parser.add_argument("instruction", help="for example: insert the needle into the green trocar")
    parser.add_argument("--timeout", type=float, default=0.0, help="[s] 0 takes the task's default")
    parser.add_argument("--quiet", action="store_true", help="no live line and no table: the status node shows them")
    given = parser.parse_args(remove_ros_args(sys.argv)[1:])
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    line = LiveLine(enabled=not given.quiet)
    client = RunClient("insert", line, lambda: "", interrupted)
    try:
        client.wait_active(ACTIVE_TIMEOUT_S)
        result = client.run(given.instruction, given.timeout)
    except Interrupted:
        return 0
    except RunError as error:
        print(f"insert: {error}", flush=True)
        return 1
    finally:
        client.close()
    line.print(table("Run", result_rows(result)))
    line.close()
    # Beside the status node, which tells the outcome, an insertion that failed is no failure of this process.
    return 0 if result.success or given.quiet else 1


if __name__ == "__main__":
    sys.exit(main())
