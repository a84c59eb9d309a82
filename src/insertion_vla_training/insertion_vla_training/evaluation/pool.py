"""Play the episodes of an evaluation, several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path

from insertion_vla_core.workers import start_worker, worker_context

from insertion_vla_training.evaluation.episode import Bench, Result, load_bench, play_episode
from insertion_vla_training.evaluation.settings import Settings

TRACES, EXPERTS = "traces", "experts"

_stop: Event | None = None  # in a worker: the run is to end
_bench: Bench | None = None  # in a worker: read at its first episode


def evaluate(
    seeds: Sequence[int], settings: Settings, out: Path, jobs: int = 1, experts: Path | None = None
) -> Iterator[Result]:
    """Play episodes, in the order in which they are ready; their traces are in `out`/traces before they come.

    Args:
        seeds: of the episodes.
        settings: of all of them.
        out: folder of the evaluation.
        jobs: processes that play; 1 plays in this one.
        experts: folder of the expert's paths, shared by evaluations of the same seeds; `out`/experts by default.

    Raises:
        ValueError, OSError: as `load_bench` and `play_episode`, or a playing process was killed.
    """
    experts = experts or out / EXPERTS
    if jobs == 1:
        bench = load_bench(settings)
        for seed in seeds:
            result, trace = play_episode(seed, bench, experts)
            trace.save(trace_file(out, seed))
            yield result
        return
    context = worker_context()
    stop = context.Event()
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(stop,)) as pool:
        try:
            running = {pool.submit(_play_one, seed, settings, out, experts) for seed in seeds}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise OSError(
                "a process that played episodes was killed, perhaps for want of memory; the results that are there "
                "stay; run the same command again to go on, with fewer --jobs"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def trace_file(out: Path, seed: int) -> Path:
    """Where the trace of an episode lies."""
    return out / TRACES / f"{seed:06d}.npz"


def _start(stop: Event) -> None:
    global _stop
    _stop = stop
    start_worker()


def _play_one(seed: int, settings: Settings, out: Path, experts: Path) -> Result:
    global _bench
    assert _stop is not None
    if _bench is None:
        _bench = load_bench(settings)
    result, trace = play_episode(seed, _bench, experts, _stop.is_set)
    trace.save(trace_file(out, seed))
    return result
