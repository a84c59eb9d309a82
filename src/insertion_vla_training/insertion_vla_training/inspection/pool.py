"""Look at many episodes in several processes; those whose pictures and numbers are up to date are not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from urllib.parse import quote

from insertion_vla_core.limits import Limits
from insertion_vla_core.workers import start_worker, worker_context

from insertion_vla_training.inspection.episode import inspect_episode
from insertion_vla_training.inspection.measured import Measured, digest_of, load_measured
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store

EPISODES_FOLDER = "episodes"


def folder_of(report: Path, episode: Episode) -> Path:
    """Where the report of an episode lies: a folder named after it, whatever its name is."""
    name = quote(episode.name, safe="")
    return report / EPISODES_FOLDER / (f"%2E{name[1:]}" if name.startswith(".") else name)


def known(store: Store, report: Path, limits: Limits) -> dict[str, Measured]:
    """What earlier runs have left that is still true, by the name of the episode."""
    found = {}
    for episode in store.episodes():
        measured = load_measured(folder_of(report, episode), digest_of(store, episode, limits))
        if measured is not None:
            found[episode.name] = measured
    return found


def look_at_all(
    store: Store, episodes: Sequence[Episode], report: Path, limits: Limits, processes: int
) -> Iterator[tuple[Episode, Measured]]:
    """Look at episodes, `processes` at a time; they come as they are finished.

    Raises:
        OSError: a process was killed, or the report cannot be written.
    """
    work = [
        (store.path, episode.name, limits, folder_of(report, episode), digest_of(store, episode, limits))
        for episode in episodes
    ]
    if processes == 1:
        for episode, task in zip(episodes, work, strict=True):
            yield episode, inspect_episode(*task)
        return
    with ProcessPoolExecutor(processes, mp_context=worker_context(), initializer=start_worker) as pool:
        try:
            running = {
                pool.submit(inspect_episode, *task): episode for episode, task in zip(episodes, work, strict=True)
            }
            for done in as_completed(running):
                yield running[done], done.result()
        except BrokenProcessPool as error:
            raise OSError(
                "a process that looked at episodes was killed, perhaps for want of memory; what was found stays; run "
                "the same command again to go on, with fewer --jobs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
