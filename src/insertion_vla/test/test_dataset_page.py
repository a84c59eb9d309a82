"""docs/dataset.md, run line by line as its reader would: bags, store, report, features, export."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "dataset.md"


def commands() -> list[str]:
    """The lines of the page's bash block."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0].strip().splitlines()


def test_five_commands_lead_from_the_robot_to_a_dataset(tmp_path: Path) -> None:
    lines = commands()
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr
    assert len(list((tmp_path / "recordings").glob("*/metadata.yaml"))) == 2
    assert (tmp_path / "report" / "index.html").exists()
    info = json.loads((tmp_path / "lerobot_data" / "meta" / "info.json").read_text())
    assert info["codebase_version"].startswith("v3") and info["total_episodes"] == 2
    assert list((tmp_path / "store" / "cache").rglob("*.safetensors"))
