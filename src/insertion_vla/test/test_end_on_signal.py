"""Signals as an event: the spinning must not be torn down while the signal's thread still wakes it."""

import os
import signal
import threading

from insertion_vla.end_on_signal import EndOnSignal
from rclpy.task import Future


def test_settling_waits_for_the_callbacks_of_the_future() -> None:
    finished, in_callback, go_on = Future(), threading.Event(), threading.Event()
    finished.add_done_callback(lambda _: (in_callback.set(), go_on.wait(5.0)))
    with EndOnSignal(finished) as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert in_callback.wait(5.0) and finished.done()
        settled = threading.Thread(target=signals.settle)
        settled.start()
        settled.join(0.2)
        assert settled.is_alive(), "the callback is still at work"
        go_on.set()
        settled.join(5.0)
        assert not settled.is_alive()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
