import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.ring import Ring


def filled(stamps, receives=None, capacity=10):
    ring = Ring(capacity, 1, np.float64)
    for stamp, receive in zip(stamps, receives or stamps, strict=True):
        ring.push(stamp, receive, [float(stamp)])
    return ring


def test_a_window_is_open_at_its_start_and_closed_at_its_end():
    stamps, rows = filled([10, 20, 30, 40]).window(10, 30)
    assert stamps.tolist() == [20, 30]
    assert rows.tolist() == [[20.0], [30.0]]


def test_rows_that_arrived_later_do_not_exist_yet():
    ring = filled([10, 20, 30], [11, 99, 31])
    assert ring.window(0, 30, known_by_ns=50)[0].tolist() == [10, 30]
    assert ring.window(0, 30, known_by_ns=99)[0].tolist() == [10, 20, 30]
    assert ring.latest(known_by_ns=30) == (10, [10.0])


def test_the_oldest_rows_fall_out():
    ring = filled(range(25))
    assert len(ring) == 10
    assert ring.window(-1, 99)[0].tolist() == list(range(15, 25))


def test_late_and_repeated_rows_are_put_in_order_and_counted_once():
    ring = Ring(3, 1)
    for value, stamp in enumerate([5, 30, 20, 20]):  # the first one falls out
        ring.push(stamp, 100 + value, [value])
    stamps, rows = ring.window(0, 50)
    assert stamps.tolist() == [20, 30]
    assert rows.tolist() == [[2.0], [1.0]]  # of the two at 20 the first to arrive


def test_the_latest_row_is_the_newest_measurement_not_the_last_arrival():
    ring = filled([10, 30, 20])
    assert ring.latest() == (30, [30.0])
    assert Ring(4, 2).latest() is None


@given(
    st.integers(1, 12),
    st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=20), max_size=6),
    st.integers(-1, 41),
    st.integers(-1, 41),
    st.integers(-1, 41),
)
def test_any_mixture_of_pushes_keeps_the_newest_arrivals(capacity, blocks, start, end, known_by):
    ring = Ring(capacity, 2, np.int64)
    everything = []
    for number, block in enumerate(blocks):
        rows = [[number, i] for i in range(len(block))]
        if number % 2:
            for (stamp, receive), row in zip(block, rows, strict=True):
                ring.push(stamp, receive, row)
        elif block:
            ring.extend([b[0] for b in block], [b[1] for b in block], rows)
        everything += [(*b, r) for b, r in zip(block, rows, strict=True)]
    kept = everything[-capacity:]
    assert len(ring) == len(kept)
    wanted = {}
    for stamp, receive, row in kept:
        if start < stamp <= end and receive <= known_by:
            wanted.setdefault(stamp, row)
    stamps, rows = ring.window(start, end, known_by)
    assert stamps.tolist() == sorted(wanted)
    assert rows.tolist() == [wanted[stamp] for stamp in sorted(wanted)]
    known = [stamp for stamp, receive, _ in kept if receive <= known_by]
    latest = ring.latest(known_by)
    assert (latest[0] if latest else None) == (max(known) if known else None)


def test_what_was_read_does_not_change_later():
    ring = filled([10, 20], capacity=2)
    _, rows = ring.window(0, 20)
    _, newest = ring.latest()
    ring.push(30, 30, [30.0])
    ring.push(40, 40, [40.0])
    assert rows.tolist() == [[10.0], [20.0]]
    assert newest.tolist() == [20.0]


def test_a_reader_never_sees_a_row_of_another_stamp():
    ring = Ring(8, 200, np.int64)
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            ring.push(number, number, np.full(200, number))
            number += 1

    writer = threading.Thread(target=write)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # provoke it
    try:
        writer.start()
        wrong = 0
        for _ in range(2000):
            stamps, rows = ring.window(-1, 10**9)
            wrong += int((rows != stamps[:, None]).any())
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        writer.join()
    assert wrong == 0


@pytest.mark.parametrize("row", [3.0, [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]])
def test_rows_of_another_shape_are_refused(row):
    with pytest.raises(ValueError, match=r"expected a row of shape \(2,\)"):
        Ring(4, 2).push(1, 1, row)


def test_blocks_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"rows of shape \(n, 2\)"):
        Ring(4, 2).extend([1, 2], [1, 2], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="capacity"):
        Ring(0, 2)
