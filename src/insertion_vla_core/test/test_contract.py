from pathlib import Path

import pytest
import yaml
from insertion_vla_core.chunk import DT_S, HORIZON
from insertion_vla_core.contract import Contract, contract_hash, differences, load_contract, parse_contract
from insertion_vla_core.kinematics import load_arm
from insertion_vla_core.stream_rows import check_readable

SHIPPED = Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml"


def changed(tmp_path, change) -> Path:
    content = yaml.safe_load(SHIPPED.read_text())
    change(content)
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def stream(content, name):
    return next(s for s in content["observations"] if s["name"] == name)


def test_the_shipped_contract_names_what_the_graph_provides():
    contract = load_contract(SHIPPED)
    for source in contract.observations:
        check_readable(source)
    assert contract.stream("joints").channels == load_arm("meca500").joint_names
    assert contract.stream("tool_pose").shape == (7,)
    assert contract.stream("features").payload
    assert (contract.action.horizon, contract.action.dt_s) == (HORIZON, DT_S)
    assert contract.action.channels == ("dx", "dy", "dz", "rx", "ry", "rz", "aux")


def test_an_unknown_stream_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="joints, tool_pose.*'pose'"):
        load_contract(SHIPPED).stream("pose")


def test_the_hash_depends_on_the_content_alone(tmp_path):
    contract = load_contract(SHIPPED)
    same = changed(tmp_path, lambda c: c["observations"][0].update(dict(reversed(c["observations"][0].items()))))
    assert contract_hash(load_contract(same)) == contract_hash(contract)  # no comments, other order of keys
    other = changed(tmp_path, lambda c: stream(c, "force").update(unit="mN"))
    assert contract_hash(load_contract(other)) != contract_hash(contract)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: stream(c, "force").update(unit="mN"), ["observations.force.unit: N against mN"]),
        (lambda c: stream(c, "force").update(rate_hz=100.0), ["observations.force.rate_hz: 650.0 against 100.0"]),
        (
            lambda c: stream(c, "joints")["channels"].reverse(),
            [
                "observations.joints.channels: ['joint_1', 'joint_2', 'joint_3', 'joint_4', 'joint_5', 'joint_6'] "
                "against ['joint_6', 'joint_5', 'joint_4', 'joint_3', 'joint_2', 'joint_1']"
            ],
        ),
        (lambda c: c["action"].update(horizon=16), ["action.horizon: 8 against 16"]),
        (lambda c: c["images"][1].update(width=640), ["images.side.width: 320 against 640"]),
    ],
)
def test_what_differs_is_named(tmp_path, change, expected):
    a, b = load_contract(SHIPPED), load_contract(changed(tmp_path, change))
    assert differences(a, b) == expected
    assert differences(a, a) == []


def test_another_order_of_the_streams_is_named(tmp_path):
    b = load_contract(changed(tmp_path, lambda c: c["images"].reverse()))
    found = differences(load_contract(SHIPPED), b)
    assert found == ["images order: ['front', 'side', 'hand'] against ['hand', 'side', 'front']"]


def test_a_missing_stream_is_named_on_either_side(tmp_path):
    a = load_contract(SHIPPED)
    b = load_contract(changed(tmp_path, lambda c: c["observations"].remove(stream(c, "force"))))
    assert "observations.force.unit: N against nothing" in differences(a, b)
    assert "observations.force.unit: nothing against N" in differences(b, a)


def rename(content, name, old, new):
    entry = stream(content, name)
    entry[new] = entry.pop(old)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: rename(c, "force", "max_age_s", "maxage_s"),
            r"'observations\.2\.maxage_s'.*did you mean 'max_age_s'",
        ),
        (lambda c: c.update(observation=c.pop("observations")), "did you mean 'observations'"),
        (lambda c: c["action"].update(dt=0.1), r"'action\.dt'.*did you mean 'dt_s'"),
        (lambda c: c["images"][0].update(widht=3), r"'images\.0\.widht'.*did you mean 'width'"),
        (lambda c: stream(c, "force").update(zzz=1), r"'observations\.2\.zzz'.*known are name, topic"),
        (lambda c: stream(c, "force").pop("unit"), r"'observations\.2\.unit' is missing"),
        (lambda c: stream(c, "force").update(rate_hz=-1.0), r"rate_hz.*greater than 0, got -1"),
        (lambda c: stream(c, "force").update(rate_hz=float("nan")), "rate_hz.*finite"),
        (lambda c: stream(c, "force").update(rate_hz="fast"), "rate_hz.*got 'fast'"),
        (lambda c: stream(c, "force").update(optional="yes"), "optional.*got 'yes'"),
        (lambda c: stream(c, "force").update(lag_s=0.06), "max_age_s above lag_s = 0.06, got 0.06"),
        (lambda c: stream(c, "force").update(window_s=0.0), "window_s of at least one sample"),
        (lambda c: stream(c, "force").update(topic="/force/samples"), "relative topic.*got '/force/samples'"),
        (lambda c: stream(c, "force").update(type="Wrench"), "message type.*got 'Wrench'"),
        (lambda c: stream(c, "force").update(name="Force!"), "lower-case.*got 'Force!'"),
        (lambda c: stream(c, "joints").update(shape=[7]), r"one channel name per number of shape \[7\], got 6"),
        (lambda c: stream(c, "joints").update(channels=["a"] * 6), "different channel names"),
        (lambda c: stream(c, "features").update(shape=[2, 8]), "a payload has no channels"),
        (lambda c: stream(c, "force").update(name="joints"), "got twice: joints"),
        (lambda c: c["action"].update(units=["m"]), r"one unit per channel \(7\), got 1"),
        (lambda c: c.update(version=2), "version"),
    ],
)
def test_wrong_entries_are_named_with_the_nearest_known_name(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_contract(changed(tmp_path, change))


def test_every_wrong_entry_is_told_at_once(tmp_path):
    def change(content):
        stream(content, "force").update(unti="N", rate_hz=0.0)

    with pytest.raises(ValueError) as error:
        load_contract(changed(tmp_path, change))
    assert "unti" in str(error.value) and "rate_hz" in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "3", "- a", "a: [", "a: 1\na: 2", "!!python/object/apply:os.system [true]"]
    + ["? [a]\n: 1", "a: 2001-99-99", "[" * 5000],
)
def test_files_that_are_no_contract_are_refused(tmp_path, text):
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match="expected a contract"):
        load_contract(path)


def test_contracts_cannot_be_changed_once_loaded():
    contract = load_contract(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        contract.name = "other"
    assert isinstance(contract, Contract)


def test_the_text_of_a_file_is_the_same_contract():
    text = SHIPPED.read_text()
    assert parse_contract(text, "the bag") == load_contract(SHIPPED)
    with pytest.raises(ValueError, match="the bag: 'imagse' is not a known entry; did you mean 'images'"):
        parse_contract(text.replace("images:", "imagse:"), "the bag")
