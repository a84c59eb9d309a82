"""tools/release_policy.py: what is shipped says what it is, and nothing of the machine that trained it."""

import json
import subprocess
import sys
from pathlib import Path

from evaluate_rig import diffusion_checkpoint
from insertion_vla_policy.checkpoint import load_checkpoint

TOOL = Path(__file__).resolve().parents[3] / "tools" / "release_policy.py"


def test_a_shipped_checkpoint_has_a_card_with_its_results_and_no_path_of_the_machine(tmp_path):
    trained = diffusion_checkpoint(tmp_path / "best", stores="/home/someone/one, /home/someone/two")
    share = {"count": 39, "of": 40, "low": 0.871, "high": 0.996}
    row = {"policy": "shipped", "sweep": "delay", "value": "200", "success": share, "wrong_target": {"count": 0}}
    row |= {"path_median_mm": 0.31, "peak_force_n": 0.14}
    (tmp_path / "comparison.json").write_text(
        json.dumps({"seeds": [500000, 500039], "rows": [row, row | {"policy": "other", "path_median_mm": 9.99}]})
    )
    command = [sys.executable, str(TOOL), str(trained), str(tmp_path / "shipped")]
    subprocess.run([*command, "--comparison", str(tmp_path / "comparison.json")], check=True)
    card = (tmp_path / "shipped" / "MODEL_CARD.md").read_text()
    assert "| delay 200 | 39 of 40 (87.1 to 99.6 %) | 0 | 0.31 | 0.14 |" in card and "9.99" not in card
    assert "## Data" in card and "## Limits" in card
    written = card + (tmp_path / "shipped" / "config.yaml").read_text()
    assert "one, two" in written and "someone" not in written and str(tmp_path) not in written
    assert load_checkpoint(tmp_path / "shipped").config.training["steps"] == 3
