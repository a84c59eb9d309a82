"""One episode while it is recorded: its bag, its audit, and what it says of itself."""

import time
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insertion_vla_core.contract import Contract
from insertion_vla_core.episode_metadata import EpisodeMetadata, end_note, note_recording, to_custom_data
from insertion_vla_core.rate_audit import RateAudit
from insertion_vla_core.recording_index import Recording, list_recording, recording
from rclpy.serialization import deserialize_message

from insertion_vla.record_reception import Received
from insertion_vla.record_writer import BagThread, describe
from insertion_vla_interfaces.msg import ActionChunk, EpisodeStatus, ForceSamples

NS = 1_000_000_000
CLOCK_STEP_S = 0.3


@dataclass
class Episode:
    """`take` is called in the reception's thread, everything else in the worker's.

    Attributes:
        metadata: what is known of it before its end.
        bag: where it is written.
        start_ns: its first moment, wall clock.
        names: what the contract calls each topic.
        blocks: topics of ForceSamples.
        contract: it is judged by.
        policy_id: of its first chunk.
        from_goal: it was begun by a goal, and ends with it.
        labelled: a person named the outcome.
        judged: a broken promise of a rate makes it bad.
        broken: reasons why it is bad, beside the audit's.
    """

    metadata: EpisodeMetadata
    bag: BagThread
    start_ns: int
    names: Mapping[str, str]
    blocks: Container[str]
    contract: Contract
    from_goal: bool = False
    labelled: bool = False
    judged: bool = True
    messages: int = 0
    bytes: int = 0
    policy_id: str = ""
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.audit = RateAudit(self.contract, self.start_ns)
        self._clock_s = _clock_offset_s()
        self.note()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def duration_s(self) -> float:
        return max(0.0, (time.time_ns() - self.start_ns) / NS)

    def take(self, messages: list[Received]) -> None:
        """Judge messages by their rates and keep them."""
        for message in messages:
            topic = self.names[message.topic]
            if message.topic in self.blocks:
                self.audit.add_block(topic, message.receive_ns, deserialize_message(message.data, ForceSamples))
            else:
                self.audit.add(topic, message.receive_ns, sequence=message.sequence)
            if topic == self.contract.action.topic and not self.policy_id:
                self.policy_id = deserialize_message(message.data, ActionChunk).policy_id
        self.keep(messages)

    def keep(self, messages: list[Received]) -> None:
        """Hand messages to the bag."""
        self.bytes += sum(len(message.data) for message in messages)
        self.messages += len(messages)
        self.bag.add(messages)

    def change(self, **values: Any) -> None:
        """Note what became known meanwhile, also for `recover`."""
        changed = {**self.metadata.model_dump(), **values}
        if changed != self.metadata.model_dump():
            self.metadata = EpisodeMetadata(**changed)
            self.note()

    def note(self) -> None:
        """Leave what is known beside the bag. Where the disk refuses, the bag itself will fail and tell."""
        try:
            note_recording(self.bag.path, self.metadata)
        except OSError:
            self.broken = [*self.broken, "its note could not be written"]

    def look(self) -> None:
        """Twice a second: note the policy, and whether the wall clock was set."""
        self.change(checkpoint_hash=self.policy_id)
        step_s = _clock_offset_s() - self._clock_s
        if abs(step_s) > CLOCK_STEP_S:
            self._clock_s += step_s
            self.broken.append(f"the wall clock was set by {step_s:+.2f} s: synchronise it before recording")

    def finish(self, parameters: Mapping[str, Any]) -> "Finished":
        """Close the bag and put the episode on the list of its folder.

        Raises:
            OSError, ValueError: the bag or the list could not be finished.
        """
        end_ns = time.time_ns()
        for topic, count in self.bag.lost.items():
            self.audit.lose(self.names[topic], count)
        verdict = self.audit.verdict(end_ns)
        reasons = (*self.broken, *(verdict.reasons if self.judged else ()))
        values = {"rates": verdict.rates, "reasons": reasons, "bad": bool(reasons), "parameters": dict(parameters)}
        values["checkpoint_hash"] = self.policy_id
        self.metadata = EpisodeMetadata(**{**self.metadata.model_dump(), **values})
        self.bag.close(to_custom_data(self.metadata))
        end_note(self.bag.path)
        duration_s = max(0.0, (end_ns - self.start_ns) / NS)
        entry = recording(self.metadata, self.name, self.start_ns, duration_s, self.messages, self.bytes)
        list_recording(self.bag.path.parent, entry)
        return Finished(self.bag.path, self.metadata, entry)


@dataclass(frozen=True)
class Finished:
    """An episode that is closed: its bag, what that says of itself, and its entry in the list."""

    path: Path
    metadata: EpisodeMetadata
    entry: Recording

    def relabelled(self, label: Mapping[str, str]) -> "Finished":
        """The same with another label, in the bag and in the list.

        Raises:
            OSError, RuntimeError, ValueError: the bag or the list cannot be written.
        """
        metadata = EpisodeMetadata(**{**self.metadata.model_dump(), **label})
        values = {"outcome": metadata.outcome, "instruction": metadata.instruction}
        entry = Recording(**{**self.entry.model_dump(), **values})
        describe(self.path, to_custom_data(metadata))
        list_recording(self.path.parent, entry)
        return Finished(self.path, metadata, entry)


def joined_label(before: EpisodeMetadata, outcome: str, instruction: str, notes: str) -> dict[str, str]:
    """A label over what is known: the instruction stays unless another is given, notes are appended."""
    joined = "\n".join(text for text in (before.notes, notes) if text)
    return {"outcome": outcome, "instruction": instruction or before.instruction, "notes": joined}


def status_of(episode: Episode | None, late: list[str], refusal: str, waiting: str) -> EpisodeStatus:
    """The status of a recorder: it records, or cannot, or waits; one sentence each."""
    if episode is None:
        state = EpisodeStatus.REFUSED if refusal else EpisodeStatus.IDLE
        return EpisodeStatus(state=state, reason=refusal or waiting)
    return EpisodeStatus(
        state=EpisodeStatus.RECORDING,
        episode=episode.name,
        path=str(episode.bag.path),
        duration=episode.duration_s,
        messages=episode.messages,
        bytes=episode.bytes,
        bad=bool(late or episode.broken),
        reason="; ".join([*episode.broken, *late]) or "recording",
    )


def _clock_offset_s() -> float:
    return time.time() - time.monotonic()


def new_name(folder: Path, prefix: str) -> str:
    """A name for a new episode in a folder: its local time."""
    stamp = time.strftime("%Y%m%d_%H%M%S")
    name, number = f"{prefix}_{stamp}", 1
    while (folder / name).exists():
        number += 1
        name = f"{prefix}_{stamp}_{number}"
    return name
