#!/usr/bin/env python3
"""From nothing to a data set, as `make data-demo` runs it: collect, preprocess, inspect, cache, export.

Every step is the verb that a person would type; one line says what came of it. Exit code 0 only if every check holds.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from demo_steps import Steps, megabytes, play, require
from insertion_vla_core.recording_index import read_index
from insertion_vla_training.stores.store import Store

ROOT = Path(__file__).resolve().parent.parent
VARIETY = ("--aim-error-mm", "1", "--start-spread-deg", "3", "--disturbance", "0.2")
BACKBONE = "visual_servo"
LEAST_SUCCESS = 0.9


class Demo(Steps):
    """The steps, in a folder of their own."""

    def __init__(self, folder: Path, episodes: int, jobs: int) -> None:
        self.bags, self.store, self.report, self.lerobot = (folder / n for n in ("bags", "store", "report", "lerobot"))
        super().__init__(folder / "data-demo.log")
        self.episodes, self.jobs = episodes, str(jobs)

    def collect(self) -> str:
        """Bags of the scripted expert."""
        count = ("--episodes", str(self.episodes), "--jobs", self.jobs)
        done = self.run("collect", "--fast", "--out", self.bags, *count, *VARIETY)
        entries = read_index(self.bags)
        good, bad = sum(e.outcome == "success" for e in entries), [e.name for e in entries if e.bad]
        require(len(entries) == self.episodes and not bad, f"{len(entries)} bags, bad: {', '.join(bad) or 'none'}")
        require(good >= LEAST_SUCCESS * len(entries), f"only {good} of {len(entries)} episodes succeeded")
        seconds = sum(entry.duration_s for entry in entries)
        return (
            f"{len(entries)} episodes, {good} successful, {seconds:.0f} s at {seconds / done.cpu_s:.1f}x real time per "
            f"core, {megabytes(self.bags)}"
        )

    def preprocess(self) -> str:
        """One store of all bags."""
        done = self.run("preprocess", self.bags, "--store", self.store, "--jobs", self.jobs)
        store = Store.open(self.store)
        episodes = store.episodes()
        require(len(episodes) == self.episodes, f"{len(episodes)} of {self.episodes} episodes are in the store")
        require(bool(store.episodes("train")), "no episode is for training")
        seconds, rows = sum(e.duration_s for e in episodes), sum(sum(e.counts.values()) for e in episodes)
        return (
            f"{len(store.episodes('train'))} episodes for training, {len(store.episodes('val'))} for validation, "
            f"{rows} rows at {seconds / done.cpu_s:.0f}x real time per core, {megabytes(self.store)}"
        )

    def inspect(self) -> str:
        """A page per episode and a verdict; anything that is not good is an error."""
        self.run("inspect", self.store, "--report", self.report, "--jobs", self.jobs, "--strict")
        pages = list(self.report.rglob("*.html"))
        require(len(pages) > self.episodes, f"expected a page per episode and one of all, got {len(pages)}")
        return f"all good, {len(pages)} pages, {megabytes(self.report)}; open {self.report / 'index.html'}"

    def cache(self) -> str:
        """Features of every image set, and the proof that they are enough."""
        done = self.run("cache", "build", self.store, "--backbone", BACKBONE, "--jobs", self.jobs)
        self.run("cache", "verify", self.store)
        images = sum(n for e in Store.open(self.store).episodes() for path, n in e.counts.items() if "images" in path)
        return (
            f"features of {images} images, verified for every sample, {images / done.cpu_s:.0f} images per second and "
            f"core, {megabytes(self.store / 'cache')}"
        )

    def export(self) -> str:
        """The same data as LeRobot v3."""
        self.run("export", "lerobot", self.store, "--to", self.lerobot)
        info = json.loads((self.lerobot / "meta" / "info.json").read_text())
        require(info["total_episodes"] == self.episodes, f"{info['total_episodes']} episodes were exported")
        return (
            f"LeRobot {info['codebase_version']}: {info['total_episodes']} episodes, {info['total_frames']} frames at "
            f"{info['fps']} Hz, {megabytes(self.lerobot)}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "data-demo", help="is emptied first")
    given = parser.parse_args()
    if given.folder.exists():
        shutil.rmtree(given.folder)
    given.folder.mkdir(parents=True)
    demo = Demo(given.folder, given.episodes, given.jobs)
    return play([demo.collect, demo.preprocess, demo.inspect, demo.cache, demo.export], given.folder)


if __name__ == "__main__":
    sys.exit(main())
