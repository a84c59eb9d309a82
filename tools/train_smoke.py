#!/usr/bin/env python3
"""From nothing to trained policies in the running graph, as `make train-smoke` runs it, in at most eight minutes.

collect, preprocess, train_tiny_vl, cache, train (both experts, one of them killed and resumed), validate, load, launch.
Every step is a command that a person would type; one line says what came of it. All is brief: a policy that beats the
baselines or inserts a needle takes longer. Exit code 0 only if every check holds.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from demo_steps import Steps, play, require
from insertion_vla_core.recording_index import read_index
from insertion_vla_policy.policy import Policy
from insertion_vla_policy.registry import load_backbone
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.store import Store

ROOT = Path(__file__).resolve().parent.parent
EXPERTS = ("regression", "diffusion")
VALIDATION_EPISODES = 2
VARIETY = ("--aim-error-mm", "1", "--start-spread-deg", "3")
TINY_VL = ("--sets", "200", "--validate", "10", "--steps", "60", "--batch", "16")
TRAIN = ("--model.size", "nano", "--optim.batch-size", "32", "--optim.lr", "1e-3", "--optim.ema-decay", "0.98")
TRAIN += ("--data.ages", "uniform", "--validation.samples", "256", "--validation.draws", "4", "--log.every", "20")


class Smoke(Steps):
    """The steps, in a folder of their own."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        super().__init__(folder / "train-smoke.log")
        self.folder = folder
        self.bags, self.store, self.tiny = folder / "bags", folder / "store", folder / "tiny_vl"
        self.episodes, self.steps, self.jobs = given.episodes, given.steps, str(given.jobs)

    def collect(self) -> str:
        """Bags of the scripted expert."""
        count = ("--episodes", self.episodes, "--jobs", self.jobs)
        self.run("collect", "--fast", "--out", self.bags, *count, *VARIETY, codes=(0, 1))
        good = [entry for entry in read_index(self.bags) if entry.outcome == "success" and not entry.bad]
        require(len(good) >= self.episodes - 2, f"only {len(good)} of {self.episodes} episodes are good")
        return f"{len(good)} good episodes of {self.episodes}, {sum(e.duration_s for e in good):.0f} s"

    def preprocess(self) -> str:
        """One store, with a split that leaves two good episodes for validation."""
        names = [entry.name for entry in read_index(self.bags) if entry.outcome == "success" and not entry.bad]
        share = VALIDATION_EPISODES / len(names)
        counts = {seed: sum(Split(seed=seed, val_share=share).of(n) == "val" for n in names) for seed in range(200)}
        seed = next(seed for seed, count in counts.items() if count == VALIDATION_EPISODES)
        self.run(
            "preprocess", self.bags, "--store", self.store, "--jobs", self.jobs, "--val-share", share, "--seed", seed
        )
        store = Store.open(self.store)
        return f"{len(store.episodes('train'))} episodes for training, {len(store.episodes('val'))} for validation"

    def tiny_vl(self) -> str:
        """The small backbone, trained for a minute."""
        calibration = ROOT / "config" / "calibration" / "sim.yaml"
        words = ("--run", self.folder / "tiny_vl_run", "--output", self.tiny, "--calibration", calibration)
        self.run("train_tiny_vl", *words, *TINY_VL, "--processes", self.jobs, "--threads", self.jobs)
        rows = (self.folder / "tiny_vl_run" / "metrics.csv").read_text().splitlines()
        header, first, last = (row.split(",") for row in (rows[0], rows[1], rows[-1]))
        at = header.index("loss") if "loss" in header else 1
        require(float(last[at]) < float(first[at]), f"its {header[at]} did not fall: {first[at]} to {last[at]}")
        return f"{header[at]} {first[at]} to {last[at]} in {TINY_VL[5]} steps"

    def cache(self) -> str:
        """Its features of every image set, and the proof that they are enough."""
        self.run("cache", "build", self.store, "--backbone", self.tiny)
        text = self.run("cache", "verify", self.store, "--ages", "uniform").text
        return text.strip().splitlines()[-1].split(": ", 1)[1]

    def train(self) -> str:
        """Both experts; the first is killed on its way and goes on."""
        said = []
        for expert in EXPERTS:
            words = self.words(expert)
            killed_at = self.kill_on_the_way(words) if expert == EXPERTS[0] else 0
            self.run("train", *words)
            rows = [json.loads(line) for line in (self.folder / expert / "metrics.jsonl").read_text().splitlines()]
            losses = [row["train/loss_epoch"] for row in rows if "train/loss_epoch" in row]
            speed = [row["train/samples_per_s"] for row in rows if "train/samples_per_s" in row][-1]
            require(losses[-1] < losses[0], f"the loss of {expert} did not fall: {losses}")
            resumed = f", killed at step {killed_at} and resumed" if killed_at else ""
            said.append(f"{expert} loss {losses[0]:.3f} to {losses[-1]:.3f} ({speed:.0f} samples/s{resumed})")
        return "; ".join(said)

    def words(self, expert: str) -> list[str]:
        """Flags of a training run."""
        data = ("--data.stores", str(self.store), "--data.features", "tiny_vl", "--data.backbone", str(self.tiny))
        steps = ("--optim.steps", str(self.steps), "--validation.every", str(max(1, self.steps // 4)))
        run = ("--out", str(self.folder / expert), "--expert", expert, "--threads", self.jobs)
        return [*run, *data, *TRAIN, *steps]

    def kill_on_the_way(self, words: list[str]) -> int:
        """Kill a run after its second validation; the step that it had got to."""
        command = [sys.executable, "-m", "insertion_vla_training.train", *words]
        validations = 0
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                validations += line.startswith("step ")
                if validations == 2:
                    process.send_signal(signal.SIGKILL)
                    break
        require(validations == 2, "training ended before it could be killed")
        return 2 * max(1, self.steps // 4)

    def validate(self) -> str:
        """Against standing still and going on as before; a brief training may lose to the latter, and says so."""
        said = []
        for expert in EXPERTS:
            out = self.folder / f"{expert}-validation"
            self.run("validate", self.folder / expert / "checkpoint", self.store, "--ages", "uniform", "--out", out,
                     "--draws", "4", codes=(0, 1))  # fmt: skip
            report = json.loads((out / "validation.json").read_text())
            errors = {name: report["all"][name] for name in ("policy", "zero_action", "constant_twist")}
            policy, still = errors["policy"]["position_mm"], errors["zero_action"]["position_mm"]
            require(policy < still, f"{expert} is {policy:.2f} mm off, standing still {still:.2f} mm")
            going = errors["constant_twist"]["position_mm"]
            said.append(
                f"{expert} {policy:.2f} mm, {errors['policy']['rotation_deg']:.2f} deg (standing still {still:.2f} mm, "
                f"constant twist {going:.2f} mm: {'beaten' if report['beats']['constant_twist'] else 'not beaten'})"
            )
        return "; ".join(said)

    def load(self) -> str:
        """The folders, strictly, as the nodes do it."""
        calibration = ROOT / "config" / "calibration" / "sim.yaml"
        said = []
        for expert in EXPERTS:
            folder = self.folder / expert / "checkpoint"
            backbone = load_backbone(folder, calibration)
            policy = Policy.load(folder, calibration=calibration)
            said.append(f"{policy.policy_id} with {backbone.model_id} {backbone.model_hash}")
        return "; ".join(said)

    def live(self) -> str:
        """Each policy in the running graph."""
        said = []
        for expert in EXPERTS:
            log = self.folder / f"launch-{expert}.log"
            command = [
                sys.executable,
                ROOT / "tools" / "live_policy.py",
                self.folder / expert / "checkpoint",
                "--log",
                log,
            ]
            text = self.call([str(word) for word in command], f"live_policy {expert}").text
            found = json.loads(text.strip().splitlines()[-1])
            said.append(
                f"{expert} {found['rate_hz']:.2f} Hz (interval p99 {found['interval_p99_ms']:.0f} ms, inference p50 "
                f"{found['inference_p50_ms']:.1f} ms, p99 {found['inference_p99_ms']:.1f} ms)"
            )
        return "; ".join(said)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=8, help="4 and more (8)")
    parser.add_argument("--steps", type=int, default=400, help="of each expert (400)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "train-smoke", help="is emptied first")
    parser.add_argument("--no-live", action="store_true", help="leave the running graph out")
    given = parser.parse_args()
    if given.episodes < 4 or given.steps < 4 or given.jobs < 1:
        parser.error("expected at least 4 --episodes, 4 --steps and 1 of --jobs")
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    smoke = Smoke(given.folder, given)
    steps: list[Callable[[], str]] = [smoke.collect, smoke.preprocess, smoke.tiny_vl, smoke.cache, smoke.train]
    steps += [smoke.validate, smoke.load] + ([] if given.no_live else [smoke.live])
    return play(steps, given.folder)


if __name__ == "__main__":
    sys.exit(main())
