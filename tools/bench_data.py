#!/usr/bin/env python3
"""How fast data are made and taken in: collect and preprocess, in seconds of episodes per second of one core's time.

Prints a table, or JSON with --json; exit code 0 only if every bound holds. The figures are CPU times of one process on
one core; other load on the machine still slows caches and memory, so run it on an idle one.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from insertion_vla_core.contract import load_contract  # noqa: E402
from insertion_vla_core.limits import load_limits  # noqa: E402
from insertion_vla_sim.config import find_config  # noqa: E402
from insertion_vla_sim.lockstep import Lockstep  # noqa: E402
from insertion_vla_sim.render import make_renderer  # noqa: E402
from insertion_vla_sim.scene import VIEWS  # noqa: E402
from insertion_vla_training.bags.pool import read_bag  # noqa: E402
from insertion_vla_training.collecting.episode import Settings, collect_episode  # noqa: E402
from insertion_vla_training.preprocess import preprocess  # noqa: E402

COLLECT, PREPROCESS = "collect --fast [x real time per core]", "preprocess [x real time per core]"
LEAST = {COLLECT: 4.0, PREPROCESS: 20.0}


def measure(episodes: int, seed: int, folder: Path) -> dict[str, float]:
    """All figures, by name."""
    settings = Settings(find_config())
    collect_episode(seed + episodes, settings, folder / "warm")  # imports and caches are not what is measured
    bags, store = folder / "bags", folder / "store"
    figures, seconds, cpu_s = {}, 0.0, time.process_time()
    for number in range(episodes):
        seconds += collect_episode(seed + number, settings, bags).duration_s
    figures[COLLECT] = seconds / (time.process_time() - cpu_s)
    figures["lock-step alone [x real time per core]"] = lockstep_speed(seed, settings.config)
    figures |= render_times(seed)
    paths = sorted(path for path in bags.iterdir() if path.is_dir())
    read_bag(paths[0], (), "f16", folder / "read")  # as above
    cpu_s = time.process_time()
    preprocess(paths, store, 1)
    figures[PREPROCESS] = seconds / (time.process_time() - cpu_s)
    size = sum(path.stat().st_size for path in bags.rglob("*") if path.is_file())
    figures["bags [MB per minute]"] = size / 1e6 / seconds * 60.0
    return figures


def lockstep_speed(seed: int, config: Path) -> float:
    """The simulation, the expert and the gate without pictures and bags."""
    contract, limits = load_contract(config / "contracts" / "insertion.yaml"), load_limits(config / "limits.yaml")
    play = Lockstep(seed, limits=limits, contract=contract)
    cpu_s = time.process_time()
    duration_s = play.run().duration_s
    return duration_s / (time.process_time() - cpu_s)


def render_times(seed: int) -> dict[str, float]:
    """Milliseconds per picture of every view, along an episode."""
    config = find_config()
    contract, limits = load_contract(config / "contracts" / "insertion.yaml"), load_limits(config / "limits.yaml")
    play, states = Lockstep(seed, limits=limits, contract=contract), []
    while not play.ended:
        states.append(play.world.render_state())
        for _ in range(650):
            play.step()
    renderer, figures = make_renderer(backend="rays"), {}
    for view in VIEWS:
        renderer.render(view, states[0])
        cpu_s = time.process_time()
        for state in states:
            renderer.render(view, state)
        figures[f"picture of {view} [ms]"] = (time.process_time() - cpu_s) / len(states) * 1e3
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(given.episodes, given.seed, Path(folder))
    if given.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:42s} {value:8.1f}" + (f"   at least {LEAST[name]:g}" if name in LEAST else ""))
    return 0 if all(figures[name] >= least for name, least in LEAST.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
