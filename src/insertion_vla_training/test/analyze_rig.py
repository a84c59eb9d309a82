"""Bags of runs whose timing is known to the millisecond: features at 2.5 Hz, chunks at 10 Hz, a tool that moves."""

from dataclasses import dataclass, field

import numpy as np
from bag_rig import START_NS
from episode_rig import INSTRUCTION, NS, TYPES, features, header, pose_of, time, write_episode
from insertion_vla_training.bags import local_type

CHUNK, FEATURES, ARM, FORCE = "/action_expert/chunk", "/vlm/features", "/arm/state", "/force/samples"
STEP_MS, FEATURES_MS, FEATURES_DELAY_MS, CHUNK_DELAY_MS = 100, 400, 200, 20
MM_PER_CHUNK = 1.0


@dataclass
class Run:
    """A run of one goal that a test may change before it is written.

    Attributes:
        chunks: how many.
        dropped: numbers of chunks that never come.
        slow_s: inference time of single chunks.
        repeated: numbers of chunks that say again what the one before said.
        holding: numbers of chunks that command no motion.
        feature_sets: how many; the first one is there before the first chunk.
        repeated_features: numbers of feature sets that are as the one before.
        lost_features: numbers of feature sets that never come.
        still: the tool does not move.
        goal: that the chunks serve.
        start_ms: of the first chunk's observation.
        rejected: what the arm counts at the end.
    """

    chunks: int = 20
    dropped: set = field(default_factory=set)
    slow_s: dict = field(default_factory=dict)
    repeated: set = field(default_factory=set)
    holding: set = field(default_factory=set)
    feature_sets: int = 7
    repeated_features: set = field(default_factory=set)
    lost_features: set = field(default_factory=set)
    still: bool = False
    goal: str = "g"
    start_ms: int = 1000
    rejected: int = 0

    def messages(self):
        """[(topic, receive_ns, cdr)] in the order of receipt."""
        found = [*self._features(), *self._chunks(), *self._force(), self._arm(0, 0)]
        found.append(self._arm(self.start_ms + self.chunks * STEP_MS, self.rejected))
        return sorted(found, key=lambda entry: entry[1])

    def _stamps(self):
        """Of the images behind each feature set [ms]."""
        first = self.start_ms - FEATURES_DELAY_MS - 100
        return [first + FEATURES_MS * k for k in range(self.feature_sets)]

    def _features(self):
        rng, tokens, found = np.random.default_rng(1), None, []
        for k, stamp in enumerate(self._stamps()):
            tokens = tokens if k in self.repeated_features else rng.normal(size=(6, 8)).astype(np.float32)
            if k not in self.lost_features:
                data = features(START_NS + ms(stamp), tokens)
                found.append((FEATURES, START_NS + ms(stamp + FEATURES_DELAY_MS), data))
        return found

    def _chunks(self):
        rng, data, found = np.random.default_rng(2), None, []
        for k in range(self.chunks):
            stamp = self.start_ms + STEP_MS * k
            data = data if k in self.repeated else rng.normal(0.0, 1e-3, (8, 7)).astype(np.float32)
            said = np.zeros_like(data) if k in self.holding else data
            known = [
                of for number, of in enumerate(self._stamps())
                if of + FEATURES_DELAY_MS <= stamp and number not in self.lost_features
            ]  # fmt: skip
            if k not in self.dropped:
                x = 0.2 if self.still else 0.2 + 1e-3 * MM_PER_CHUNK * k
                message = self._chunk(stamp, k, x, said, known[-1] if known else None)
                found.append((CHUNK, START_NS + ms(stamp + CHUNK_DELAY_MS), message))
        return found

    def _chunk(self, stamp, sequence, x, data, seen):
        kind = local_type(TYPES[CHUNK])
        none = kind.of("builtin_interfaces/msg/Time", sec=0, nanosec=0)
        return kind.encode(
            kind.new(
                header=header(kind, START_NS + ms(stamp)), session_id="s", sequence=sequence, dt=0.1, horizon=8, dim=7,
                anchor=pose_of(kind, [x, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0]), data=data.ravel(), policy_id="made-up",
                goal_id=self.goal, status="approach",
                features_stamp=none if seen is None else time(kind, START_NS + ms(seen)),
                force_stamp=time(kind, START_NS + ms(stamp)), inference_time=self.slow_s.get(sequence, 0.012),
            )
        )  # fmt: skip

    def _force(self):
        kind = local_type(TYPES[FORCE])
        for k in range(10):
            last = START_NS + ms(self.start_ms) + k * 15_384_610
            stamps = last - np.arange(10)[::-1] * 1_538_461
            yield (
                FORCE, last + ms(1),
                kind.encode(kind.new(
                    header=header(kind, last), stamps=stamps, receive_stamps=stamps,
                    force=np.full(10, 0.1 + 0.01 * k, np.float32), force_raw=np.zeros(10, np.float32), aline_bins=0,
                    alines=np.zeros(0, np.float32), received=10 * (k + 1), lost=0,
                )),
            )  # fmt: skip

    def _arm(self, at_ms, rejected):
        kind = local_type(TYPES[ARM])
        data = kind.encode(
            kind.new(
                header=header(kind, START_NS + ms(at_ms)), state=2, reason="", speed_scale=1.0, twist=np.zeros(6),
                force=0.1, force_age=0.0, robot_age=0.0, chunk_age=0.1, session_id="s", chunks_accepted=5,
                chunks_rejected=rejected, last_rejection="", missed_deadlines=0,
            )
        )  # fmt: skip
        return ARM, START_NS + ms(at_ms), data


def ms(value):
    """In nanoseconds."""
    return round(value * NS / 1000)


def write_run(folder, *runs, **options):
    """A bag of runs, one after the other."""
    found = sorted((entry for run in runs for entry in run.messages()), key=lambda entry: entry[1])
    return write_episode(folder, found, instruction=INSTRUCTION, **options)
