"""Ordered bring-up and reverse shutdown of managed nodes: all or nothing, and the reason names the node.

Runs in a thread of its own while an executor delivers the replies. Nodes configure in parallel (nothing moves and no
node depends on another then) and activate one after the other in the given order.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from insertion_vla.managed_peer import (
    ACTIVATE,
    ACTIVE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    FINALIZED,
    INACTIVE,
    UNCONFIGURED,
    UNKNOWN,
    Call,
    ManagedPeer,
)

STATE_TIMEOUT_S = 1.0
APPEAR_CHECK_S = 0.05
# A second node of the same name makes the same transition; its event arrives within this time.
TWIN_WAIT_S = 0.5


@dataclass(frozen=True)
class Settings:
    """Bounds of the waits.

    Attributes:
        appear_s: For the nodes' services to appear.
        transition_s: For one transition.
    """

    appear_s: float = 20.0
    transition_s: float = 20.0


class Failure(Exception):
    """Bring-up failed; the message names the node and the cause."""


def bring_up(
    peers: Sequence[ManagedPeer],
    settings: Settings,
    interrupted: threading.Event,
    twins: Callable[[], set[str]],
    cause: Callable[[str], str],
    report: Callable[[str], None],
) -> None:
    """Brings every node to ACTIVE, in order; on failure whatever this call changed is changed back.

    Args:
        peers: Managed nodes in bring-up order.
        settings: Bounds of the waits.
        interrupted: When set, the bring-up gives up at the next step.
        twins: Names that the ROS graph lists more than once (it also lists nodes that died a moment ago).
        cause: The newest error that a node logged, as a suffix for a sentence, or "".
        report: Told what is going on, one sentence at a time.

    Raises:
        Failure: a node is missing, refused a transition or did not answer.
    """
    deadline_s = time.monotonic() + settings.appear_s
    _await_presence(peers, settings.appear_s, interrupted, report)
    # A node just discovered may not know this one yet, and then its answer is lost: ask until it comes.
    while silent := refresh(peers, STATE_TIMEOUT_S):
        names = _list([peer.name for peer in silent])
        if time.monotonic() > deadline_s:
            raise Failure(f"{names} did not answer within {settings.appear_s:g} s: check the process")
        if interrupted.is_set():
            raise Failure("bring-up was interrupted")
        report(f"waiting for an answer of {names}")
    dead = [peer.name for peer in peers if peer.label == FINALIZED]
    if dead:
        raise Failure(f"{_list(dead)} is finalized and cannot be used again: restart its process")

    configured: list[ManagedPeer] = []
    activated: list[ManagedPeer] = []
    try:
        fresh = [peer for peer in peers if peer.label == UNCONFIGURED]
        report(f"configuring {_list([peer.name for peer in fresh])}" if fresh else "all nodes are configured")
        calls = [(peer, peer.ask_change(CONFIGURE)) for peer in fresh]
        deadline_s = time.monotonic() + settings.transition_s
        failed = []
        for peer, call in calls:
            answer = _await_change(peer, call, INACTIVE, deadline_s)
            if answer:
                configured.append(peer)
            else:
                failed.append(_refusal(peer, "configure", answer, settings.transition_s, cause))
        if failed:
            raise Failure("; ".join(failed))
        _refuse_twins(fresh, twins, interrupted)
        for peer in peers:
            if interrupted.is_set():
                raise Failure("bring-up was interrupted")
            if peer.label == ACTIVE:
                continue
            report(f"activating {peer.name}")
            answer = _await_change(peer, peer.ask_change(ACTIVATE), ACTIVE, time.monotonic() + settings.transition_s)
            # Without an answer the node may still become active: it is among those taken back.
            if answer is not False:
                activated.append(peer)
            if not answer:
                raise Failure(_refusal(peer, "activate", answer, settings.transition_s, cause))
    except Failure as failure:
        report(f"taking back the bring-up: {failure}")
        _change_all(list(reversed(activated)), DEACTIVATE, settings.transition_s)
        _change_all(list(reversed(configured)), CLEANUP, settings.transition_s)
        refresh(peers, STATE_TIMEOUT_S)
        raise


def shut_down(peers: Sequence[ManagedPeer], settings: Settings, report: Callable[[str], None]) -> list[str]:
    """Deactivates and cleans up in reverse order; names the nodes that did not follow."""
    refresh(peers, STATE_TIMEOUT_S)
    backwards = list(reversed(peers))
    for peer in backwards:
        if peer.label == ACTIVE:
            report(f"deactivating {peer.name}")
            _change_all([peer], DEACTIVATE, settings.transition_s)
    _change_all([peer for peer in backwards if peer.label == INACTIVE], CLEANUP, settings.transition_s)
    return [peer.name for peer in backwards if peer.label not in (UNCONFIGURED, FINALIZED)]


def refresh(peers: Sequence[ManagedPeer], timeout_s: float) -> list[ManagedPeer]:
    """Asks every node for its state at once; returns those that did not answer, their label set to unknown."""
    calls = [(peer, peer.ask_state() if peer.present() else None) for peer in peers]
    deadline_s = time.monotonic() + timeout_s
    silent = []
    for peer, call in calls:
        if call is None or not peer.take_state(call.result(deadline_s)):
            peer.label = UNKNOWN
            silent.append(peer)
    return silent


def _await_presence(
    peers: Sequence[ManagedPeer], timeout_s: float, interrupted: threading.Event, report: Callable[[str], None]
) -> None:
    deadline_s = time.monotonic() + timeout_s
    absent = [peer for peer in peers if not peer.present()]
    if absent:
        report(f"waiting for {_list([peer.name for peer in absent])}")
    while absent:
        if time.monotonic() > deadline_s:
            names = _list([peer.name for peer in absent])
            raise Failure(
                f"{names} did not appear within {timeout_s:g} s: check that its process runs in this namespace"
            )
        if interrupted.wait(APPEAR_CHECK_S):
            raise Failure("bring-up was interrupted")
        absent = [peer for peer in absent if not peer.present()]


def _refuse_twins(peers: Sequence[ManagedPeer], twins: Callable[[], set[str]], interrupted: threading.Event) -> None:
    """The graph lists dead nodes for a while, so only a second answer to the same request proves a second node."""
    suspects = [peer for peer in peers if peer.name in twins()]
    if suspects:
        interrupted.wait(TWIN_WAIT_S)
    doubled = [peer.name for peer in suspects if peer.arrivals.get(INACTIVE, 0) > 1]
    if doubled:
        raise Failure(f"{_list(doubled)} runs twice under one name: stop one of the two")


def _change_all(peers: Sequence[ManagedPeer], transition: int, timeout_s: float) -> None:
    calls = [(peer, peer.ask_change(transition)) for peer in peers]
    deadline_s = time.monotonic() + timeout_s
    for peer, call in calls:
        _await_change(peer, call, INACTIVE if transition == DEACTIVATE else UNCONFIGURED, deadline_s)


def _await_change(peer: ManagedPeer, call: Call, target: str, deadline_s: float) -> bool | None:
    """Whether the node changed to the target state; None when neither answer nor state tells by the deadline."""
    while True:
        reply = call.result(min(deadline_s, time.monotonic() + STATE_TIMEOUT_S))
        if reply is not None:
            if reply.success:
                peer.label = target
            return bool(reply.success)
        if time.monotonic() >= deadline_s or peer.closed:
            return None
        # The answer may have been lost; a node that is still busy with the change does not answer this either.
        peer.take_state(peer.ask_state().result(min(deadline_s, time.monotonic() + STATE_TIMEOUT_S)))
        if peer.label == target:
            return True


def _refusal(peer: ManagedPeer, verb: str, answer: bool | None, timeout_s: float, cause: Callable[[str], str]) -> str:
    if answer is None:
        return f"{peer.name} did not {verb} within {timeout_s:g} s"
    return f"{peer.name} refused to {verb}{cause(peer.name) or ': see its log'}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
