#!/usr/bin/env python3
"""From nothing to trained policies and their comparison, as `make train-demo` runs it: config/train_demo.yaml.

collect, preprocess, train_tiny_vl, cache, train (both experts side by side), release, compare. Every step is a command
that a person would type, and goes on where it was stopped: run it again after Ctrl-C. Exit code 0 only if every check
holds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from demo_steps import StepFailed, Steps, megabytes, play, require
from insertion_vla_core.recording_index import read_index
from insertion_vla_policy.checkpoint_config import load_config
from insertion_vla_training.stores.store import Store
from release_policy import release

ROOT = Path(__file__).resolve().parent.parent
EXPERTS = ("regression", "diffusion")
CALIBRATION = ROOT / "config" / "calibration" / "sim.yaml"
LEAST_SUCCESS = 0.9


class TrainDemo(Steps):
    """The steps, in a folder of their own."""

    def __init__(self, folder: Path, recipe: dict[str, dict[str, Any]], jobs: int, tiny_vl: Path | None) -> None:
        super().__init__(folder / "train-demo.log")
        self.folder, self.recipe, self.jobs = folder, recipe, jobs
        self.bags, self.store, self.report = folder / "bags", folder / "store", folder / "report"
        self.models = folder / "models"
        self.made, self.tiny = tiny_vl is None, tiny_vl or folder / "tiny_vl"

    def flags(self, *sections: str) -> list[str]:
        """The words of sections of the recipe; what comes later counts."""
        words = {name: value for section in sections for name, value in self.recipe[section].items()}
        return [word for name, value in words.items() for word in (f"--{name}", str(value))]

    def collect(self) -> str:
        """Bags of the scripted expert."""
        self.run("collect", "--fast", "--out", self.bags, "--jobs", self.jobs, *self.flags("collect"), codes=(0, 1))
        entries = read_index(self.bags)
        good = sum(entry.outcome == "success" and not entry.bad for entry in entries)
        require(good >= LEAST_SUCCESS * len(entries), f"only {good} of {len(entries)} episodes are good")
        return f"{good} good episodes of {len(entries)}, {sum(entry.duration_s for entry in entries):.0f} s"

    def preprocess(self) -> str:
        """One store of all bags."""
        self.run("preprocess", self.bags, "--store", self.store, "--jobs", self.jobs, *self.flags("preprocess"))
        store = Store.open(self.store)
        return f"{len(store.episodes('train'))} episodes for training, {len(store.episodes('val'))} for validation"

    def tiny_vl(self) -> str:
        """The backbone."""
        if self.made and not (self.tiny / "model.safetensors").exists():
            words = ("--run", self.folder / "tiny_vl_run", "--output", self.tiny, "--calibration", CALIBRATION)
            cores = ("--processes", self.jobs, "--threads", self.jobs)
            self.run("train_tiny_vl", *words, *cores, *self.flags("train_tiny_vl"))
        return f"{'trained' if self.made else 'given'}: {self.tiny}, {megabytes(self.tiny)}"

    def cache(self) -> str:
        """Its features of every image set."""
        self.run("cache", "build", self.store, "--backbone", self.tiny, "--jobs", self.jobs)
        return self.run("cache", "verify", self.store, "--ages", "uniform").text.strip().splitlines()[-1]

    def train(self) -> str:
        """Both experts, side by side where there are cores for it."""
        if self.jobs == 1:
            for expert in EXPERTS:
                self.run("train", *self.training(expert))
        else:
            self._train_together()
        return "; ".join(f"{expert}: {self._validated(expert)}" for expert in EXPERTS)

    def _train_together(self) -> None:
        running = []
        shared = os.environ | {"OMP_NUM_THREADS": str(max(1, self.jobs // len(EXPERTS)))}
        for expert in EXPERTS:
            command = [sys.executable, "-m", "insertion_vla_training.train", *self.training(expert)]
            log = (self.folder / f"{expert}.log").open("a")
            running.append((expert, subprocess.Popen(command, stdout=log, stderr=log, env=shared), log))
        try:
            codes = {expert: process.wait() for expert, process, _ in running}
        finally:
            for _, process, log in running:
                process.terminate()
                process.wait()
                log.close()
        if failed := [expert for expert, code in codes.items() if code]:
            raise StepFailed(f"training of {failed[0]} failed: see {self.folder / f'{failed[0]}.log'}")

    def training(self, expert: str) -> list[str]:
        """Flags of a training run."""
        data = ("--data.stores", self.store, "--data.features", "tiny_vl", "--data.backbone", self.tiny)
        more = ("--data.calibration", CALIBRATION, "--out", self.folder / expert, "--expert", expert)
        return [*map(str, (*data, *more)), *self.flags("train", expert)]

    def _validated(self, expert: str) -> str:
        trained = load_config(self.folder / expert / "best").training
        require(trained["val/beats_baselines"] == 1.0, f"{expert} is no better than standing still or going on")
        return f"{trained['val/position_mm']:.2f} mm off the expert, better than standing still and going on"

    def release(self) -> str:
        """The form in which they are shipped."""
        self._release(None)
        return f"{self.models}, {megabytes(self.models)}"

    def _release(self, comparison: dict[str, Any] | None) -> None:
        for expert in EXPERTS:
            release(self.folder / expert / "best", self.models / expert, self.recipe, comparison)

    def compare(self) -> str:
        """In closed loop, on the same unseen seeds, beside the classical policy."""
        policies = [self.models / expert for expert in EXPERTS]
        out = ("--out", self.report, "--jobs", self.jobs, "--sweeps", "none", "--beside", "visual_servo")
        self.run("compare", *policies, *out, *self.flags("compare"))
        comparison = json.loads((self.report / "comparison.json").read_text())
        self._release(comparison)
        rows = comparison["rows"]
        said = [f"{row['policy']} {row['success']['count']} of {row['success']['of']}" for row in rows]
        return f"success {', '.join(said)}; the report is {self.report / 'index.html'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "train_demo.yaml", help="the recipe")
    parser.add_argument("--tiny-vl", type=Path, help="folder of a backbone to take instead of training one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "train-demo", help="of the run, which goes on")
    parser.add_argument("--fresh", action="store_true", help="empty the folder first")
    given = parser.parse_args()
    recipe = yaml.safe_load(given.config.read_text())
    if given.fresh:
        shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True, exist_ok=True)
    demo = TrainDemo(given.folder, recipe, given.jobs, given.tiny_vl)
    steps = [demo.collect, demo.preprocess, demo.tiny_vl, demo.cache, demo.train, demo.release, demo.compare]
    return play(steps, given.folder)


if __name__ == "__main__":
    sys.exit(main())
