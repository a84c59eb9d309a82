from pathlib import Path

import pytest
import yaml
from gate_rig import LIMITS, LIMITS_FILE
from insertion_vla_core.limits import Limits, load_limits


def table(tmp_path: Path, **changes: object) -> Path:
    content = yaml.safe_load(LIMITS_FILE.read_text())
    for name, value in changes.items():
        if value is None:
            del content[name]
        else:
            content[name] = value
    path = tmp_path / "limits.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_shipped_table_holds_the_starting_limits() -> None:
    limits = load_limits(LIMITS_FILE)
    assert (limits.free_speed, limits.contact_speed) == (0.020, 0.002)
    assert (limits.force_soft, limits.force_hard, limits.force_gap) == (0.5, 2.0, 0.020)
    assert limits.robot_age == 0.050


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"force_hard": None}, "force_hard.*missing"),
        ({"contact_speed": 0.03}, "contact_speed below free_speed, got 0.03 and 0.02"),
        ({"force_soft": 2.5}, "force_soft below force_hard, got 2.5 and 2"),
        ({"workspace_min": [0.4, -0.15, 0.02]}, "workspace_min below workspace_max in x, got 0.4 and 0.32"),
        ({"workspace_min": [0.1, 0.2]}, "workspace_min"),
        ({"free_speed": float("nan")}, "free_speed"),
        ({"free_speed": float("inf")}, "free_speed"),
        ({"force_gap": -0.02}, "force_gap.*greater than 0"),
        ({"free_speed": 5.0}, "free_speed.*less than or equal to 0.25"),
        ({"free_speed": "fast"}, "free_speed"),
        ({"free_sped": 0.02}, "free_sped.*did you mean 'free_speed'"),
    ],
)
def test_row_17_wrong_entries_are_refused_by_name(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_limits(table(tmp_path, **changes))


@pytest.mark.parametrize("name", [name for name in Limits.model_fields if not name.startswith("workspace")])
def test_row_29_every_limit_may_shrink_a_little_and_never_grow(name: str) -> None:
    def scaled(factor: float) -> Limits:
        return Limits(**{**LIMITS.model_dump(), name: getattr(LIMITS, name) * factor})

    assert LIMITS.tightened(scaled(0.99)) == scaled(0.99)
    with pytest.raises(ValueError, match=f"only be tightened.*{name} from"):
        scaled(0.99).tightened(LIMITS)


def test_row_29_the_workspace_only_shrinks() -> None:
    inner = Limits(**{**LIMITS.model_dump(), "workspace_min": (0.1, -0.1, 0.05), "workspace_max": (0.3, 0.1, 0.3)})
    assert LIMITS.tightened(inner) is inner
    with pytest.raises(ValueError, match="workspace_min.*workspace_max"):
        inner.tightened(LIMITS)
