"""What all episodes of an evaluation have in common, and what tells one evaluation from another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from insertion_vla_core.chunk import DT_S
from insertion_vla_core.executor import Execution
from insertion_vla_policy.checkpoint_config import load_config
from insertion_vla_policy.model_card import file_hash
from insertion_vla_policy.registry import checkpoint_folder, policy_names
from insertion_vla_policy.run_options import MOST_GUIDED_S, RunOptions
from insertion_vla_sim.lockstep_parts import LIKE_THE_GRAPH, Timing
from insertion_vla_sim.randomise import Randomisation

from insertion_vla_training.evaluation.hardships import Told, Touch

Mode = Literal[Execution, "guided"]
SCRIPTED = "scripted"
FIRST_SEED, LAST_SEED = 500_000, 999_999  # kept for evaluation; training collects below


@dataclass(frozen=True)
class Settings:
    """How a policy is evaluated.

    Attributes:
        policy: a name of the registry, the folder of a checkpoint, or "scripted", the privileged expert.
        config: folder with limits.yaml, contracts/ and calibration/.
        randomisation: which set of scenes.
        time_limit_s: longest episode; one that is not finished by then has failed.
        options: how a checkpoint is run.
        inference_delay_s: added to the delay that chunks have in the graph.
        feature_age_s: added to the delay that features have in the graph.
        touch: "own", that of another episode ("shuffled"), or half a second old ("delayed"); the gate's is true.
        told: the sentence names the target ("named"), another trocar ("wrong"), or nothing ("empty").
        covered: a view whose pictures are black; "" for none.
        execution: how a new chunk takes over, a mode of the executor, or "guided": the diffusion itself continues the
            chunk before until a new one can arrive, and the executor blends.
        diversity_samples: drawn of one observation for the action diversity of a policy that draws; 0: none.

    Raises:
        ValueError: guided execution of a policy that is no diffusion.
    """

    policy: str
    config: Path
    randomisation: Randomisation = "heldout"
    time_limit_s: float = 60.0
    options: RunOptions = field(default_factory=RunOptions)
    inference_delay_s: float = 0.0
    feature_age_s: float = 0.0
    touch: Touch = "own"
    told: Told = "named"
    covered: str = ""
    execution: Mode = "blend"
    diversity_samples: int = 8

    def __post_init__(self) -> None:
        if self.execution == "guided" and not is_diffusion(self.policy):
            raise ValueError(
                f"expected a diffusion policy for guided execution, got '{self.policy}': choose another mode"
            )

    @property
    def timing(self) -> Timing:
        """Rates and delays of the simulated graph."""
        return replace(
            LIKE_THE_GRAPH,
            inference_delay_s=LIKE_THE_GRAPH.inference_delay_s + self.inference_delay_s,
            feature_delay_s=LIKE_THE_GRAPH.feature_delay_s + self.feature_age_s,
        )

    @property
    def run_options(self) -> RunOptions:
        """How a checkpoint is run in these episodes."""
        if self.execution != "guided":
            return self.options
        late_s = max(DT_S, self.timing.inference_delay_s)
        return self.options.model_copy(update={"guided_s": min(late_s, MOST_GUIDED_S)})

    @property
    def calibration(self) -> Path:
        """The camera calibration that policies are told."""
        return self.config / "calibration" / "sim.yaml"

    @property
    def contract(self) -> Path:
        """What policies observe and do."""
        return self.config / "contracts" / "insertion.yaml"

    def identity(self) -> dict[str, Any]:
        """Everything that decides an episode beside its seed: results of other settings are not mixed with these.

        Raises:
            ValueError: there is no such policy.
        """
        files = (self.config / "limits.yaml", self.contract, self.calibration)
        return {
            "policy": self.policy,
            "weights": weights_hash(self.policy),
            "randomisation": self.randomisation,
            "time_limit_s": self.time_limit_s,
            "options": self.options.model_dump(mode="json"),
            "inference_delay_s": self.inference_delay_s,
            "feature_age_s": self.feature_age_s,
            "touch": self.touch,
            "told": self.told,
            "covered": self.covered,
            "execution": self.execution,
            "diversity_samples": self.diversity_samples,
            **{path.name: file_hash(path) for path in files},
        }


def is_diffusion(policy: str) -> bool:
    """Whether a policy draws its chunks by diffusion."""
    folder = checkpoint_folder(policy)
    return folder is not None and load_config(folder).model.expert == "diffusion"


def weights_hash(policy: str) -> str:
    """Of a checkpoint's weights; "" for a policy without any.

    Raises:
        ValueError: there is no such policy.
    """
    if policy == SCRIPTED:
        return ""
    if folder := checkpoint_folder(policy):
        load_config(folder)  # says what is missing
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise ValueError(f"expected weights in {weights}, there are none: copy the whole checkpoint folder")
        return file_hash(weights)
    if policy not in policy_names():
        raise ValueError(
            f"expected a policy of {', '.join((SCRIPTED, *policy_names()))} or the path of a checkpoint's folder, got "
            f"'{policy}': choose one of them"
        )
    return ""
