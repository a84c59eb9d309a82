"""What every recorded episode says of itself, and its form in a bag: the `custom_data` of rosbag2, text for text.

The recorder node and the writers without ROS both use `to_custom_data`; every reader uses `from_custom_data`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from insertion_vla_core.contract import parse_contract
from insertion_vla_core.strict_yaml import StrictModel, sentences

PREFIX = "insertion_vla."
RECORDING_FILE = "recording.json"
Outcome = Literal["success", "failure", "unknown"]


class StreamRate(StrictModel):
    """What came of one topic, against what the contract promises.

    Attributes:
        expected_hz: 0 where nothing is promised.
        measured_hz: messages (or samples of a block) per second of the episode; for what comes only while a goal runs,
            from the first to the last.
        messages: in the bag.
        lost: known to be missing in the bag.
        longest_gap_s: between two messages, or from either end of the episode to the nearest one.
        ok: the promise was kept.
    """

    topic: str
    expected_hz: float = Field(ge=0.0)
    measured_hz: float = Field(ge=0.0)
    messages: int = Field(ge=0)
    lost: int = Field(default=0, ge=0)
    longest_gap_s: float = Field(ge=0.0)
    ok: bool


class EpisodeMetadata(StrictModel):
    """One episode.

    Attributes:
        name: of the episode, also of its folder.
        source: what wrote it ("recorder", "collect --fast", "import").
        contract: the YAML text that the graph ran with.
        namespace: of the graph; the contract's topics are relative to it.
        instruction: the sentence that the policy was given.
        outcome, notes: the label, by a person or by the simulation's truth.
        seed: of the simulated world, None for a real robot.
        parameters: of every node, by its name.
        git_revision: of the workspace, "" if not known; ends with "-dirty" for changes that are not committed.
        checkpoint_hash: of the policy that drove, "" for none.
        robot_calibration, camera_calibration: YAML texts, "" for none.
        rates: the audit per topic.
        bad: not fit for training; `reasons` say why, one sentence each.
    """

    version: Literal[1] = 1
    name: str = Field(min_length=1)
    source: str
    contract: str
    namespace: str = "/"
    instruction: str = ""
    outcome: Outcome = "unknown"
    notes: str = ""
    seed: int | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    git_revision: str = ""
    checkpoint_hash: str = ""
    robot_calibration: str = ""
    camera_calibration: str = ""
    rates: tuple[StreamRate, ...] = Field(default=(), strict=False)
    bad: bool = False
    reasons: tuple[str, ...] = Field(default=(), strict=False)

    @field_validator("contract")
    @classmethod
    def _a_contract(cls, value: str) -> str:
        parse_contract(value, "the metadata of the episode")
        return value

    @field_validator("parameters")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {key: _plain_value(item, key) for key, item in value.items()}


def _plain_value(value: Any, path: str) -> Any:
    """The value as JSON gives it back, so that what is written equals what is read."""
    if isinstance(value, Mapping):
        return {str(key): _plain_value(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected finite numbers, got {path} = {value}; leave out what has no value")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"expected numbers, text, lists and mappings, got {type(value).__name__} for {path}")


def to_custom_data(episode: EpisodeMetadata) -> dict[str, str]:
    """The `custom_data` of the episode's bag: texts as they are, everything else as JSON."""
    values = episode.model_dump(mode="json")
    return {
        PREFIX + key: value if isinstance(value, str) else json.dumps(value, allow_nan=False, sort_keys=True)
        for key, value in values.items()
    }


def from_custom_data(custom_data: Mapping[str, str], place: str) -> EpisodeMetadata:
    """The episode behind a bag's `custom_data`; keys of others are left alone. `place` names the bag.

    Raises:
        ValueError: there is no such metadata or it is not valid; the sentence says what to do.
    """
    own = {key.removeprefix(PREFIX): value for key, value in custom_data.items() if key.startswith(PREFIX)}
    if not own:
        raise ValueError(
            f"expected the metadata of an episode in {place}, found none: it was not recorded by this workspace; "
            "record it with record.launch.py or import it"
        )
    values = {key: _parsed(key, text, place) for key, text in own.items()}
    if values.get("version") != 1:
        raise ValueError(
            f"expected metadata of version 1 in {place}, got version {own.get('version', 'none')}; "
            "update this workspace to one that knows it"
        )
    try:
        return EpisodeMetadata.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"metadata of {place}: " + "; ".join(sentences(error, EpisodeMetadata))) from None


_TEXTS = {name for name, field in EpisodeMetadata.model_fields.items() if field.annotation in (str, Outcome)}


def _parsed(key: str, text: str, place: str) -> Any:
    if key in _TEXTS:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON as {PREFIX}{key} in the metadata of {place}: {error}") from None


def note_recording(folder: str | Path, episode: EpisodeMetadata) -> None:
    """Keep what is known of an episode in its bag's folder while it is recorded.

    A killed recorder writes no metadata.yaml: `recover` then takes the instruction and the label from here. Call it
    again when the label changes, and `end_note` when the bag is closed.

    Raises:
        OSError: the folder cannot be written.
    """
    partial = Path(folder) / f".{RECORDING_FILE}"
    partial.write_text(json.dumps(to_custom_data(episode), indent=1), encoding="utf-8")
    partial.replace(Path(folder) / RECORDING_FILE)


def noted_recording(folder: str | Path) -> dict[str, str]:
    """The `custom_data` that `note_recording` left in a folder; empty without a note that can be read."""
    try:
        values = json.loads((Path(folder) / RECORDING_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def end_note(folder: str | Path) -> None:
    """Remove the note: the bag itself says it now."""
    (Path(folder) / RECORDING_FILE).unlink(missing_ok=True)
