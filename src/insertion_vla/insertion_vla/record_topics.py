"""What an episode records: the topics of the contract, and those that tell how it went."""

from dataclasses import dataclass, field

from insertion_vla_core.contract import Contract
from insertion_vla_core.rate_audit import promises

BESIDE = ("task/state", "arm/state", "system/state", "/diagnostics")
IMAGE, CAMERA_INFO = "/image_raw/compressed", "/camera_info"


@dataclass
class Topics:
    """Topics that are subscribed to, by their absolute names; grows while the graph appears.

    Attributes:
        types: type and hash of its description.
        names: what the contract calls it.
        latched: those of which a late subscriber gets the newest message.
        blocks: those with blocks of force samples.
        recorded: those that are written, and not only watched.
    """

    types: dict[str, tuple[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    latched: set[str] = field(default_factory=set)
    blocks: set[str] = field(default_factory=set)
    recorded: set[str] = field(default_factory=set)


def default_topics(contract: Contract) -> list[str]:
    """Topics as nodes name them: relative to the namespace of the graph, but for those that begin with '/'."""
    topics = [stream.topic for stream in contract.observations]
    topics += [image.topic for image in contract.images]
    topics.append(contract.action.topic)
    topics += [image.topic.removesuffix(IMAGE) + CAMERA_INFO for image in contract.images if IMAGE in image.topic]
    return list(dict.fromkeys([*topics, *BESIDE]))


def contract_types(contract: Contract) -> dict[str, str]:
    """The type that the contract expects of each of its topics."""
    sources = (*contract.observations, *contract.images, contract.action)
    return {source.topic: source.type for source in sources}


def longest_window_s(contract: Contract) -> float:
    """How far back [s] the first tick of an episode looks."""
    return max(stream.window_s + stream.lag_s for stream in contract.observations)


def steady_topics(contract: Contract) -> set[str]:
    """Topics of the contract that come all the time and that an episode needs."""
    return {topic for topic, promise in promises(contract).items() if promise.required and not promise.on_demand}
