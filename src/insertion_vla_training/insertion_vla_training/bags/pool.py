"""Read bags in several processes; each leaves its episode in a folder of its own and says where."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from insertion_vla_core.workers import start_worker, worker_context

from insertion_vla_training.bags.episode import bag_hash, read_episode
from insertion_vla_training.stores.episode_data import save_episode

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Outcome:
    """What became of one bag.

    Attributes:
        bag: its folder or file.
        sha256: its hash, "" if it could not be read.
        folder: where the episode lies (`load_episode`); None without one.
        problem: why there is no episode, a sentence; "" if there is one, or if its hash was known.
    """

    bag: Path
    sha256: str = ""
    folder: Path | None = None
    problem: str = ""


def read_bags(
    bags: Sequence[Path], known: Collection[str], aline_type: str, staging: Path, processes: int
) -> Iterator[Outcome]:
    """Outcomes in the order of the bags.

    Args:
        bags: folders or files.
        known: hashes of bags that need not be read.
        aline_type: "f16" or "f32".
        staging: an existing folder for the episodes.
        processes: how many read at a time; 1 reads in this process.

    Raises:
        OSError: the disk is full, or a reading process was killed.
    """
    known = frozenset(known)
    if processes == 1:
        for number, bag in enumerate(bags):
            yield read_bag(bag, known, aline_type, staging / str(number))
        return
    with ProcessPoolExecutor(processes, mp_context=worker_context(), initializer=start_worker) as pool:
        waiting: deque[Future[Outcome]] = deque()
        try:
            for number, bag in enumerate(bags):
                waiting.append(pool.submit(read_bag, bag, known, aline_type, staging / str(number)))
                # No more than a few lie on the disk at a time.
                if len(waiting) > processes + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise OSError(
                "a process that read bags was killed, perhaps for want of memory; what was added stays; run "
                "the same command again to go on, with fewer --jobs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def read_bag(bag: Path, known: Collection[str], aline_type: str, folder: Path) -> Outcome:
    """Read one bag into `folder`, unless its hash is known.

    Raises:
        OSError: the episode cannot be written; everything else that goes wrong is in the outcome.
    """
    sha256 = ""
    try:
        sha256 = bag_hash(bag)
        if sha256 in known:
            return Outcome(bag, sha256)
        data = read_episode(bag, sha256, aline_type)
    except OSError as error:
        return Outcome(bag, sha256, problem=f"bag {bag}: cannot be read: {error.strerror or error}; check the disk")
    except ValueError as error:
        return Outcome(bag, sha256, problem=str(error))
    except Exception as error:  # the rest of the batch is worth more than a traceback
        text = f"{type(error).__name__}: {error}"
        return Outcome(bag, sha256, problem=f"bag {bag}: a defect of preprocess ({text}); report it with this bag")
    save_episode(data, folder)
    return Outcome(bag, sha256, folder)
