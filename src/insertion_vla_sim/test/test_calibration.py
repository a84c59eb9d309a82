from pathlib import Path

import pytest
from insertion_vla_sim.calibration import calibration_text, main

COMMITTED = Path(__file__).resolve().parents[3] / "config" / "calibration" / "sim.yaml"


def test_the_committed_file_is_what_the_scene_says():
    assert COMMITTED.read_text() == calibration_text(), f"run python -m insertion_vla_sim.calibration {COMMITTED}"


def test_command_writes_the_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "new.yaml"
    monkeypatch.setattr("sys.argv", ["calibration", str(path)])
    assert main() == 0
    assert path.read_text() == calibration_text()
    monkeypatch.setattr("sys.argv", ["calibration", str(tmp_path / "missing" / "new.yaml")])
    assert main() == 1
    assert "existing, writable folder" in capsys.readouterr().err


@pytest.mark.parametrize("view", ["front", "side", "hand"])
def test_file_names_every_view(view):
    assert f"  {view}:" in calibration_text()
