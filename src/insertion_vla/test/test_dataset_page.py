"""docs/dataset.md, run line by line as its reader would: simulated robot, bags, store, report, features, export."""

import json
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "dataset.md"
DOMAIN, HOST = "61", "127.0.61.1"


def commands() -> list[str]:
    """The lines of the page's bash block."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0].strip().splitlines()


def test_five_commands_lead_from_the_robot_to_a_dataset(tmp_path: Path) -> None:
    lines = commands()
    assert len(lines) == 5
    environment = {**os.environ, "ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    for line in lines:
        # An address of its own, so that no other simulation on this machine is in the way.
        words = line + f" host:={HOST}" if "ros2 launch" in line else line
        done = subprocess.run(
            ["bash", "-c", words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr
    recorded = {path.parent.name for path in (tmp_path / "recordings").glob("*/metadata.yaml")}
    assert len(recorded) == 2
    assert (tmp_path / "report" / "index.html").exists()
    info = json.loads((tmp_path / "lerobot_data" / "meta" / "info.json").read_text())
    notes = json.loads((tmp_path / "lerobot_data" / "meta" / "insertion_vla.json").read_text())
    # A recording becomes several episodes there where ticks are missing, as on a machine that was busy for a moment.
    assert info["codebase_version"].startswith("v3") and info["total_frames"] > 200
    assert {episode["name"] for episode in notes["episodes"]} == recorded
    assert list((tmp_path / "store" / "cache").rglob("*.safetensors"))
