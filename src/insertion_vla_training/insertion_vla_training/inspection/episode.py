"""Look at one episode: judge it by the contract and the gate's limits, draw its pictures, keep what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from insertion_vla_core.limits import Limits
from insertion_vla_core.rate_audit import GAP_AGES, GAP_PERIODS, Promise
from numpy.typing import NDArray

from insertion_vla_training.inspection.actions import JUMPS
from insertion_vla_training.inspection.check import Check
from insertion_vla_training.inspection.clock import check_drift, check_offset, delays_s
from insertion_vla_training.inspection.features import check_age, newest_age_s
from insertion_vla_training.inspection.force import check_force, free_rows
from insertion_vla_training.inspection.images import check_decoded, check_frozen
from insertion_vla_training.inspection.measured import Measured, Numbers, View, save_measured
from insertion_vla_training.inspection.pictures import draw_pictures
from insertion_vla_training.inspection.rates import check_complete, check_dropped, check_gap, check_rate
from insertion_vla_training.inspection.seen import Seen, look_at
from insertion_vla_training.stores import layout
from insertion_vla_training.stores.store import Store

DIGITS = 6


def inspect_episode(store_path: Path, name: str, limits: Limits, folder: Path, digest: str) -> Measured:
    """Look at an episode of a store and leave its pictures and measured.json in `folder`."""
    store = Store.open(store_path)
    seen = look_at(store, store.episode(name), limits)
    folder.mkdir(parents=True, exist_ok=True)
    measured = measured_of(seen, digest, draw_pictures(seen, folder))
    save_measured(folder, measured)
    return measured


def measured_of(seen: Seen, digest: str, pictures: dict[str, str]) -> Measured:
    """What was found in an episode whose pictures are drawn."""
    return Measured(
        digest=digest,
        checks=tuple(checks_by_contract(seen)),
        views={
            view: View(times_s=_kept(seen.seconds(of.stamps)), sharpness=_kept(of.sharpness), hashes=of.hashes)
            for view, of in seen.views.items()
        },
        chunk_times_s=_kept(seen.seconds(seen.jumps.stamps)),
        jumps={key: _kept(getattr(seen.jumps, key)) for key in JUMPS},
        missing_alines=None if seen.alines is None else seen.alines.missing,
        features=sum(len(stamps) for stamps, _, _ in seen.payloads.values()) if seen.payloads else None,
        streams={key: _hash_of(rows.values) for key, rows in seen.streams.items()},
        pictures=pictures,
    )


def checks_by_contract(seen: Seen) -> list[Check]:
    """Every check that looks at this episode alone."""
    return [*_of_streams(seen), *_of_payloads(seen), *_of_views(seen), *_of_action(seen), *_of_force(seen)]


def _promise(rate_hz: float, max_age_s: float) -> Promise:
    return Promise(rate_hz, max(GAP_PERIODS / rate_hz, GAP_AGES * max_age_s))


def _of_streams(seen: Seen) -> Iterator[Check]:
    for stream in seen.contract.observations:
        if stream.payload or (stream.optional and len(seen.streams[stream.name].stamps) == 0):
            continue
        rows = seen.streams[stream.name]
        yield from _of_times(seen, stream.name, rows.stamps, rows.receive, stream.rate_hz, stream.max_age_s)
        if not stream.optional:
            finite = np.asarray(np.isfinite(rows.values).all(axis=1))
            yield check_complete(stream.name, rows.stamps, finite, seen.span)


def _of_times(
    seen: Seen, name: str, stamps: NDArray[np.int64], receive: NDArray[np.int64], rate_hz: float, max_age_s: float
) -> Iterator[Check]:
    promise = _promise(rate_hz, max_age_s)
    yield check_rate(name, stamps, promise)
    yield check_gap(name, stamps, promise, seen.span)
    yield check_dropped(name, stamps)
    delay_s = delays_s(stamps, receive)
    yield check_offset(name, delay_s, max_age_s)
    yield check_drift(name, delay_s, max_age_s)


def _of_payloads(seen: Seen) -> Iterator[Check]:
    for stream in seen.contract.observations:
        if stream.payload and len(seen.payloads[stream.name][0]):
            age_s = newest_age_s(np.sort(seen.chunks["stamps"]), *seen.payloads[stream.name])
            yield check_age(stream.name, age_s, stream.max_age_s)
            yield check_offset(stream.name, delays_s(*seen.payloads[stream.name][:2]), stream.max_age_s)


def _of_views(seen: Seen) -> Iterator[Check]:
    for image in seen.contract.images:
        view = seen.views[image.name]
        if image.optional and len(view.stamps) == 0:
            continue
        yield from _of_times(seen, image.name, view.stamps, view.receive, image.rate_hz, image.max_age_s)
        yield check_decoded(image.name, view)
        yield check_frozen(image.name, view, image.max_age_s)


def _of_action(seen: Seen) -> Iterator[Check]:
    stamps, receive = seen.chunks["stamps"], seen.chunks["receive"]
    if seen.contract.action.optional and len(stamps) == 0:
        return
    yield from _of_times(seen, "action", stamps, receive, 1.0 / seen.contract.action.dt_s, seen.limits.chunk_age)


def _of_force(seen: Seen) -> list[Check]:
    stream = layout.force_stream(seen.contract)
    if stream is None:
        return []
    rows = seen.streams[stream.name]
    free = free_rows(rows.stamps, seen.chunks["stamps"], seen.aux)
    return check_force(rows.stamps, rows.values[:, 0], free, seen.limits, stream.unit)


def _hash_of(values: NDArray[np.float64]) -> str:
    """Of numbers that vary; "" where they do not, or where there are none: those are no sign of a copy."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0 or np.ptp(finite) == 0.0:
        return ""
    return hashlib.blake2b(np.ascontiguousarray(values), digest_size=8).hexdigest()


def _kept(values: NDArray[np.float64]) -> Numbers:
    return tuple(float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)
