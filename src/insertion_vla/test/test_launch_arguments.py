"""A wrong argument is one sentence that names it, what was expected and what came."""

from pathlib import Path

import pytest

from insertion_vla import launch_arguments as check

NODES = ("arm", "vlm", "camera_front")
REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: check.one_of("hardware", "mecca500", check.HARDWARE),
            ["hardware", "mecca500", "did you mean 'meca500'"],
        ),
        (lambda: check.policy("visual_serve", ["visual_servo"]), ["policy", "did you mean 'visual_servo'"]),
        (lambda: check.policy("runs/nothing", ["visual_servo"]), ["policy", "runs/nothing", "check the path"]),
        (lambda: check.some_of("hosts", "robot,sensors", check.PARTS), ["hosts", "'sensors'", "did you mean 'sensor'"]),
        (lambda: check.some_of("cameras", "front,front", check.VIEWS), ["cameras", "each once"]),
        (lambda: check.some_of("cameras", "", check.VIEWS), ["cameras", "at least one"]),
        (lambda: check.yes_no("autostart", "yes"), ["autostart", "true or false", "'yes'"]),
        (lambda: check.seed("-1"), ["seed", "'-1'"]),
        (lambda: check.seed("1e3"), ["seed", "'1e3'"]),
        (lambda: check.seed("99999999999"), ["seed"]),
        (lambda: check.loopback("192.168.0.100"), ["host", "loopback"]),
        (lambda: check.loopback("localhost"), ["host", "loopback"]),
        (lambda: check.namespace("9lives"), ["namespace", "9lives"]),
        (lambda: check.video("film.avi"), ["video", "film.avi"]),
        (lambda: check.video("/no/such/folder/film.gif"), ["video", "/no/such/folder"]),
        (lambda: check.seconds("timeout", "soon"), ["timeout", "'soon'"]),
        (lambda: check.seconds("timeout", "nan"), ["timeout"]),
        (lambda: check.count("seeds", "0"), ["seeds"]),
        (lambda: check.assignments(["sed:=7"], {"seed": "0"}), ["'sed'", "seed"]),
        (lambda: check.assignments(["seed=7"], {"seed": "0"}), ["name:=value", "seed=7"]),
    ],
)
def test_bad_values_are_named(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_policy_is_a_name_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "best").mkdir(parents=True)
    assert check.policy("runs/best", ["visual_servo"]) == str(tmp_path / "runs" / "best")
    (tmp_path / "visual_servo").mkdir()
    assert check.policy("visual_servo", ["visual_servo"]) == "visual_servo", "a name comes first"


def test_good_values_pass():
    assert check.some_of("hosts", "sensor, robot", check.PARTS) == ["robot", "sensor"]
    assert check.yes_no("viewer", "True") is True
    assert check.seed("7") == 7 and check.loopback("127.3.4.5") == "127.3.4.5"
    assert check.namespace("") == "" and check.namespace("/lab/left") == "/lab/left"
    given = check.assignments(["instruction:=insert the needle into the a:=b trocar"], {"instruction": "", "seed": "1"})
    assert given == {"instruction": "insert the needle into the a:=b trocar", "seed": "1"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/**/amr:\n  ros__parameters: {}\n", "did you mean 'arm'"),
        ("/**/arm:\n  parameters: {}\n", "ros__parameters"),
        ("- a\n- b\n", "node names"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_parameter_file_that_ros_would_ignore_is_refused(tmp_path, text, word):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match="params_file") as caught:
        check.parameter_file(str(path), NODES)
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_parameter_file_is_named():
    with pytest.raises(ValueError, match="/no/such.yaml"):
        check.parameter_file("/no/such.yaml", NODES)


@pytest.mark.parametrize("key", ["arm", "/arm", "/**/arm", "/lab/arm", "/**"])
def test_every_spelling_of_a_node_is_taken(tmp_path, key):
    path = tmp_path / "params.yaml"
    path.write_text(f"{key}:\n  ros__parameters: {{}}\n")
    assert check.parameter_file(str(path), NODES) == path


def test_the_shipped_parameter_file_fits_every_node():
    """Each section is loaded by its node's own model: no misspelt name, no value out of bounds."""
    import yaml
    from insertion_vla.nodes import (
        action_expert,
        arm,
        camera,
        force_sensor,
        lifecycle_manager,
        recorder,
        scripted_expert,
        task,
        vlm,
    )
    from insertion_vla.parameters import build

    models = {
        "arm": arm.Parameters,
        "force_sensor": force_sensor.Parameters,
        "vlm": vlm.Parameters,
        "action_expert": action_expert.Parameters,
        "scripted_expert": scripted_expert.Parameters,
        "task": task.Parameters,
        "episode": recorder.Parameters,
        "lifecycle_manager": lifecycle_manager.Parameters,
        **{f"camera_{view}": camera.Parameters for view in check.VIEWS},
    }
    sections = yaml.safe_load((REPOSITORY / "config" / "params.yaml").read_text())
    seen = set()
    for key, section in sections.items():
        name = key.split("/")[-1]
        build(models[name], _flat(section["ros__parameters"]))
        seen.add(name)
    assert seen == set(models) == set(check.NODES)


def _flat(section: dict, prefix: str = "") -> dict:
    result = {}
    for name, value in section.items():
        if isinstance(value, dict):
            result.update(_flat(value, f"{prefix}{name}."))
        else:
            result[prefix + name] = value
    return result
