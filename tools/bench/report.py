"""Turns what the probe collected into figures with bounds, a table, a JSON file and a picture."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

PERIOD_S = 0.1


@dataclass(frozen=True)
class Figure:
    """One measured figure; `low` and `high` are the bounds it is held to, None where it only informs."""

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None

    @property
    def holds(self) -> bool:
        return bool((self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high))

    @property
    def bound(self) -> str:
        if self.low is not None and self.high is not None:
            return f"{self.low:g} .. {self.high:g}"
        return f"<= {self.high:g}" if self.high is not None else f">= {self.low:g}" if self.low is not None else ""


def percentile(values, q: float) -> float:
    return float(np.percentile(values, q)) if len(values) else float("nan")


def buffer_ms(text: str) -> float:
    """How long the sensor's granted socket buffer lasts, from "asked / granted" bytes in the node's diagnostics."""
    granted = re.search(r"/ (\d+)", text)
    # A record of 4120 bytes arrives in three fragments, which cost 1.7 times their bytes in the buffer.
    return int(granted.group(1)) / (4120 * 1.7 * 650.0) * 1e3 if granted else float("nan")


def force_figures(samples: dict[str, list[float]], sent: int, elapsed_s: float, receive_buffer: str) -> list[Figure]:
    stamps, received = np.array(samples["force_stamp"]), np.array(samples["force_received"])
    latency = (received - stamps) * 1e3
    span = stamps[-1] - stamps[0]
    lost = round(span * 650.0) + 1 - len(stamps)
    return [
        Figure("force rate", (len(stamps) - 1) / span, "Hz", 649.0, 651.0),
        Figure("force sent by the sensor", sent / elapsed_s, "Hz"),
        Figure("force lost at the consumer", max(lost, 0), "samples", high=0),
        Figure("force lost before the node", samples["force_lost"][-1] - samples["force_lost"][0], "samples", high=0),
        Figure("receive buffer granted", buffer_ms(receive_buffer), "ms", low=38.0),
        Figure("force latency p50", percentile(latency, 50), "ms"),
        Figure("force latency p99", percentile(latency, 99), "ms", high=10.0),
    ]


def action_figures(samples: dict[str, list[float]], intervals: np.ndarray) -> list[Figure]:
    missed = int(np.sum(np.round(intervals / PERIOD_S) - 1))
    allowed = max(1.0, len(intervals) / 600.0)
    return [
        Figure("action rate", 1.0 / float(np.mean(intervals)), "Hz", 9.95, 10.05),
        Figure("action interval mean", float(np.mean(intervals)) * 1e3, "ms"),
        Figure("action interval p50", percentile(intervals, 50) * 1e3, "ms"),
        Figure("action interval p99", percentile(intervals, 99) * 1e3, "ms", high=110.0),
        Figure("action interval max", float(np.max(intervals)) * 1e3, "ms", high=210.0),
        Figure(f"missed ticks in {len(intervals)}", missed, "", high=allowed),
        Figure("inference p99", percentile(samples["inference"], 99) * 1e3, "ms"),
        Figure("observation to command p50", percentile(samples["observation_to_command"], 50) * 1e3, "ms"),
        Figure("observation to command p99", percentile(samples["observation_to_command"], 99) * 1e3, "ms"),
    ]


def features_figures(samples: dict[str, list[float]]) -> list[Figure]:
    received = np.array(samples["features_received"])
    rate = (len(received) - 1) / (received[-1] - received[0])
    return [
        Figure("features rate", rate, "Hz", 2.6 * 0.95, 2.6 * 1.05),
        Figure("features age at use p50", percentile(samples["features_age"], 50) * 1e3, "ms"),
        Figure("features age at use p99", percentile(samples["features_age"], 99) * 1e3, "ms", high=1200.0),
        Figure("image to features p50", percentile(samples["image_to_features"], 50) * 1e3, "ms"),
        Figure("image to features p99", percentile(samples["image_to_features"], 99) * 1e3, "ms"),
    ]


def print_table(figures: list[Figure], processes: dict[str, dict[str, float]]) -> None:
    for figure in figures:
        mark = "" if not figure.bound else "ok" if figure.holds else "MISSED"
        print(f"  {figure.name:<32} {figure.value:>10.2f} {figure.unit:<8} {figure.bound:<16} {mark}")
    print(f"\n  {'process':<32} {'CPU % of a core':>16} {'PSS MB':>10}")
    for name, row in sorted(processes.items(), key=lambda item: -item[1]["cpu_percent"]):
        print(f"  {name:<32} {row['cpu_percent']:>16.1f} {row['pss_mb']:>10.1f}")


def save(folder: Path, figures: list[Figure], processes: dict, samples: dict, intervals: np.ndarray) -> None:
    """Writes bench.json and bench.png."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(figure) | {"value": float(figure.value), "holds": figure.holds} for figure in figures]
    (folder / "bench.json").write_text(json.dumps({"figures": rows, "processes": processes}, indent=2) + "\n")
    draw(folder / "bench.png", processes, samples, intervals)


def draw(path: Path, processes: dict, samples: dict, intervals: np.ndarray) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(12, 8), constrained_layout=True)
    latency = (np.array(samples["force_received"]) - np.array(samples["force_stamp"])) * 1e3
    axes[0, 0].hist(np.clip(latency, 0, 12), bins=120, color="tab:blue")
    axes[0, 0].set(title="650 Hz force: sensor to consumer", xlabel="latency [ms]", ylabel="samples", yscale="log")
    axes[0, 0].axvline(10.0, color="tab:red", linestyle="--", label="bound of p99")
    axes[0, 0].legend()
    axes[0, 1].plot(intervals * 1e3, ".", markersize=3, color="tab:green")
    axes[0, 1].axhline(110.0, color="tab:red", linestyle="--", label="bound of p99")
    axes[0, 1].set(title="interval between action chunks", xlabel="chunk", ylabel="interval [ms]")
    axes[0, 1].legend()
    axes[1, 0].hist(np.array(samples["features_age"]) * 1e3, bins=60, color="tab:orange")
    axes[1, 0].set(title="age of the features at use", xlabel="age [ms]", ylabel="chunks")
    names = sorted(processes, key=lambda name: processes[name]["cpu_percent"])
    axes[1, 1].barh(names, [processes[name]["cpu_percent"] for name in names], color="tab:purple")
    axes[1, 1].set(title="CPU per process", xlabel="% of one core")
    figure.savefig(path, dpi=110)
