"""What a recorder does: episodes begin and end, by a person or with a goal; the disk is watched; faults are kept.

`take` runs in the reception's thread. Everything else runs in one worker thread, one thing after the other.
"""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from insertion_vla_core.contract import Contract
from insertion_vla_core.episode_metadata import EpisodeMetadata, Outcome, to_custom_data

from insertion_vla.record_episode import Episode, Finished, joined_label, new_name, status_of
from insertion_vla.record_follow import Follower, Watched
from insertion_vla.record_memory import Memory
from insertion_vla.record_reception import Received
from insertion_vla.record_topics import Topics, longest_window_s, steady_topics
from insertion_vla.record_writer import BagThread
from insertion_vla_interfaces.msg import EpisodeStatus

NS = 1_000_000_000
GB, MB = 1e9, 1_000_000
FAULTS = "faults"  # the black box's folder: its bags are no episodes, and tools that take a folder do not meet them
AFTER_FAULT_S = 1.0  # how it went on belongs into the black box too
RECOVER = "ros2 run insertion_vla_training recover"
Answer = tuple[bool, str, str]  # whether it was done, a sentence, the folder of the bag


@dataclass(frozen=True)
class Settings:
    """Bounds of a recorder; `auto` begins an episode with every goal."""

    folder: Path
    auto: bool
    min_free_gb: float
    cache_mb: float
    black_box_s: float
    black_box_mb: float


class Desk:
    """Takes messages and orders.

    Args:
        settings, contract, watched, topics: see there.
        template: the metadata that all episodes share.
        parameters: gives those of all nodes as far as they are known.
        log: of the node.
        changed: called when there is something new to tell.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        watched: Watched,
        topics: Topics,
        template: EpisodeMetadata,
        parameters: Callable[[], Mapping[str, Any]],
        log: Any,
        changed: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.min_free_gb = settings.min_free_gb
        self.trouble = ""  # what keeps it from recording
        self.late: list[str] = []
        self.free_bytes = shutil.disk_usage(settings.folder).free
        self.episode: Episode | None = None
        self.worker = ThreadPoolExecutor(1, "desk")
        self._contract = contract
        self._topics = topics
        self._template = template
        self._parameters = parameters
        self._log = log
        self._changed = changed
        self._pre_roll_ns = round(longest_window_s(contract) * NS)
        self._span_ns = max(round((settings.black_box_s + AFTER_FAULT_S) * NS), self._pre_roll_ns)
        self._memory = Memory(self._span_ns, round(settings.black_box_mb * MB))
        self._awaited = frozenset(steady_topics(contract))  # those of which nothing came yet
        self._complete_ns = 0  # when the last of them began
        self._lock = threading.Lock()  # of memory, episode and audit
        self._follower = Follower(
            watched,
            lambda instruction: self.order(self._goal_began, instruction),
            lambda outcome: self.order(self._goal_ended, outcome),
            self._on_fault,
        )
        self._fault: tuple[float, str] | None = None  # when to write the black box, and why
        self._last: Finished | None = None
        self._ended_ns = 0

    # The reception's thread.

    def take(self, messages: list[Received]) -> None:
        """Keep messages, record them, and follow the task and the arm."""
        recorded = [message for message in messages if message.topic in self._topics.recorded]
        for message in recorded if self._awaited else ():
            name = self._topics.names[message.topic]
            if name in self._awaited:
                self._awaited = self._awaited - {name}
                self._complete_ns = message.receive_ns
        with self._lock:
            self._memory.extend(recorded, self._topics.latched)
            if self.episode is not None:
                self.episode.take(recorded)
        self._follower.take(messages)

    def _on_fault(self, reason: str) -> None:
        if self.settings.black_box_s:
            self._fault = self._fault or (time.monotonic() + AFTER_FAULT_S, reason)

    def order(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Have something done by the worker; its future."""

        def body() -> Any:
            try:
                return work(*arguments)
            except Exception as error:
                told, self.trouble = self.trouble, f"{type(error).__name__}: {error}"
                if self.trouble != told:
                    self._log.error(f"{work.__name__}: {self.trouble}")
                raise
            finally:
                self._changed()

        return self.worker.submit(body)

    # The worker's thread.

    def start(self, instruction: str, notes: str, from_goal: bool = False) -> Answer:
        """Begin an episode."""
        if self.episode is not None:
            return False, f"{self.episode.name} is being recorded: stop it first", str(self.episode.bag.path)
        if refusal := self.no_room():
            return False, refusal, ""
        now_ns = time.time_ns()
        begin_ns = max(now_ns - self._pre_roll_ns, self._memory.oldest_ns or now_ns, self._complete_ns, self._ended_ns)
        name = new_name(self.settings.folder, "episode")
        values = {"name": name, "source": "recorder", "instruction": instruction, "notes": notes}
        try:
            episode = self._open(self.settings.folder, values, begin_ns)
        except OSError as error:
            self.trouble = str(error)
            self._log.error(self.trouble)
            return False, self.trouble, ""
        episode.from_goal = from_goal
        with self._lock:
            episode.keep(self._memory.latched_at(begin_ns))
            episode.take(self._memory.since(begin_ns))
            self.episode = episode
        self.trouble, self.late = "", []
        self._log.info(f"recording {name}" + (f": {instruction}" if instruction else ""))
        return True, f"recording {name}", str(episode.bag.path)

    def _open(self, folder: Path, values: Mapping[str, Any], begin_ns: int) -> Episode:
        """A new episode without messages; raises OSError."""
        metadata = EpisodeMetadata(**{**self._template.model_dump(), **values, "parameters": self._parameters()})
        most_bytes = round((self.settings.cache_mb + self.settings.black_box_mb) * MB)
        failed = lambda: self.order(self.tick)  # noqa: E731
        bag = BagThread(folder / metadata.name, self._topics.types, to_custom_data(metadata), most_bytes, failed)
        return Episode(metadata, bag, begin_ns, self._topics.names, self._topics.blocks, self._contract)

    def stop(self, discard: bool) -> Answer:
        """End the episode."""
        with self._lock:
            episode, self.episode = self.episode, None
        if episode is None:
            return False, "nothing is being recorded: start an episode first", ""
        self.late, self._ended_ns = [], time.time_ns()
        path = str(episode.bag.path)
        if discard:
            episode.bag.discard()
            self._log.info(f"discarded {episode.name}")
            return True, f"discarded {episode.name}", path
        done, sentence = self._finish(episode)
        return done, sentence, path

    def _finish(self, episode: Episode) -> tuple[bool, str]:
        path = episode.bag.path
        try:
            self._last = episode.finish(self._parameters())
        except (OSError, ValueError) as error:
            whole = (path / "metadata.yaml").exists()
            advice = "the bag is whole, but not on the list" if whole else f"save it with: {RECOVER} {path}"
            self.trouble = f"{episode.name} was not finished: {error}; {advice}"
            self._log.error(self.trouble)
            return False, self.trouble
        entry = self._last.entry
        figures = f"{entry.messages} messages in {entry.duration_s:.1f} s, {entry.outcome}"
        if entry.bad:
            self._log.warning(f"{episode.name} is bad ({figures}): {'; '.join(entry.reasons)}")
            return True, f"{episode.name} is bad: {'; '.join(entry.reasons)}"
        self._log.info(f"recorded {episode.name}: {figures}")
        return True, f"recorded {episode.name}: {figures}"

    def label(self, outcome: str, instruction: str, notes: str) -> Answer:
        """Label the episode that is being recorded, or else the last one."""
        if outcome not in get_args(Outcome):
            return False, f"expected one of {', '.join(get_args(Outcome))}, got '{outcome}'", ""
        episode = self.episode
        if episode is None and self._last is None:
            return False, "there is no episode to label: nothing was recorded since this node was activated", ""
        if episode is not None:
            episode.labelled = True
            episode.change(**joined_label(episode.metadata, outcome, instruction, notes))
            return True, f"{episode.name} is a {outcome}", str(episode.bag.path)
        name, path = self._last.metadata.name, str(self._last.path)
        try:
            self._last = self._last.relabelled(joined_label(self._last.metadata, outcome, instruction, notes))
        except (OSError, RuntimeError, ValueError) as error:
            return False, f"{name} was not labelled: {error}", path
        return True, f"{name} is a {outcome}", path

    def tick(self) -> None:
        """Twice a second: look at the disk, the rates and the clock, and keep a fault."""
        self.settings.folder.mkdir(parents=True, exist_ok=True)  # somebody may have moved it away
        self.free_bytes = shutil.disk_usage(self.settings.folder).free
        episode = self.episode
        if episode is not None:
            failure, room = episode.bag.failure, self.no_room()
            if failure or room:
                why = f"the disk failed: {failure}" if failure else room
                episode.broken.append(f"the recording ended early: {why}")
                done, sentence, _ = self.stop(discard=False)
                if failure:
                    self.trouble = f"{sentence}; put the disk right and start anew" if done else sentence
                self._log.error(f"the recording ended early: {why}")
            else:
                episode.look()
                self._look_at_rates(episode)
        if self._fault is not None and time.monotonic() >= self._fault[0]:
            (_, reason), self._fault = self._fault, None
            self._keep_fault(reason)

    def _look_at_rates(self, episode: Episode) -> None:
        with self._lock:
            late = episode.audit.late(time.time_ns())
        before = {sentence.split(":")[0] for sentence in self.late}
        for sentence in late:
            if sentence.split(":")[0] not in before:
                self._log.warning(f"{episode.name}: {sentence}")
        self.late = late

    def no_room(self) -> str:
        """Why nothing can be recorded for lack of space; empty while there is enough."""
        free_gb, floor = self.free_bytes / GB, self.min_free_gb
        if free_gb >= floor:
            return ""
        return (
            f"{free_gb:.2f} GB are free in {self.settings.folder}, less than min_free_gb = {floor:g}: free some space"
        )

    def _keep_fault(self, reason: str) -> None:
        """Write what is in memory as a bag of its own."""
        if refusal := self.no_room():
            self._log.error(f"the black box is not kept: {refusal}")
            return
        folder = self.settings.folder / FAULTS
        name = new_name(folder, "fault")
        begin_ns = max(time.time_ns() - self._span_ns, self._memory.oldest_ns)
        values = {"name": name, "source": "black box", "notes": reason}
        last = self._last
        try:
            episode = self._open(folder, values, begin_ns)
        except OSError as error:
            self._log.error(f"the black box is not kept: {error}")
            return
        episode.judged = False
        episode.broken.append(f"kept by the black box, not an episode: the arm went to FAULT: {reason}")
        with self._lock:
            latched, recent = self._memory.latched_at(begin_ns), self._memory.since(begin_ns)
        episode.keep(latched)
        episode.take(recent)
        self._finish(episode)
        self._last = last

    def close(self) -> None:
        """End the episode, and the worker after it."""
        if self.episode is not None:
            self.stop(discard=False)

    def _goal_began(self, instruction: str) -> None:
        if self.episode is not None and self.episode.from_goal:
            self.stop(discard=False)
        if self.episode is not None:
            if not self.episode.metadata.instruction:
                self.episode.change(instruction=instruction)
        elif self.settings.auto:
            done, sentence, _ = self.start(instruction, "", from_goal=True)
            if not done:
                self._log.error(f"the goal is not recorded: {sentence}")

    def _goal_ended(self, outcome: str) -> None:
        if self.episode is None:
            return
        if not self.episode.labelled:
            self.episode.change(outcome=outcome)
        if self.episode.from_goal:
            self.stop(discard=False)

    def status(self) -> EpisodeStatus:
        """What it is doing, without the header; from any thread."""
        refusal = self.no_room() or self.trouble
        waiting = "waiting for a goal" if self.settings.auto else "idle"
        if self._awaited:
            waiting += f"; nothing yet on {', '.join(sorted(self._awaited))}"
        message = status_of(self.episode, self.late, refusal, waiting)
        message.free_space_gb = self.free_bytes / GB
        return message
