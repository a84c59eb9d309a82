"""`analyze`: statistics against ones worked out by hand, faults that were planted, and the report as it is read."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from analyze_rig import CHUNK, FEATURES, FORCE, Run, write_run
from browser import open_page
from evaluate_rig import diffusion_checkpoint
from insertion_vla_sim.config import find_config
from insertion_vla_training.analysis.metrics import METRICS, STATISTICS
from insertion_vla_training.analysis.targets import load_targets
from insertion_vla_training.evaluation.episode import Result
from insertion_vla_training.evaluation.results import ResultsFile

from insertion_vla_training import analyze, collect, profile


def run(out, *logs, words=()):
    return analyze.main([*map(str, logs), "--out", str(out), *words])


def read(out):
    return json.loads((out / "analysis.json").read_text())


def missed(found):
    return {(check["name"], check["subject"]) for check in found["checks"] if not check["ok"]}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_run(folder / "episode_0001", Run())
    assert run(folder / "report", folder / "episode_0001", words=("--strict",)) == 0
    return folder / "report"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Slow chunks, a gap of chunks, chunks and features that repeat themselves, features that are lost."""
    folder = tmp_path_factory.mktemp("faulty")
    made = Run(
        chunks=90, slow_s={4: 0.3, 5: 0.2}, dropped={7, 8, 9}, repeated=set(range(21, 80)), feature_sets=23,
        repeated_features={3, 4, 5}, lost_features={10, 11, 12}, rejected=2,
    )  # fmt: skip
    return write_run(folder / "episode_0002", made)


def test_statistics_are_those_worked_out_by_hand(good):
    of = read(good)["statistics"]
    assert (of["chunk_interval_ms"]["count"], of["chunk_interval_ms"]["mean"]) == (19, pytest.approx(100.0))
    assert of["chunk_rate_hz"]["median"] == pytest.approx(10.0)
    assert of["chunk_delay_ms"]["max"] == pytest.approx(20.0) and of["action_time_ms"]["p99"] == pytest.approx(12.0)
    assert (of["vlm_time_ms"]["count"], of["vlm_time_ms"]["mean"]) == (7, pytest.approx(50.0))
    assert of["features_interval_ms"]["mean"] == pytest.approx(400.0)
    assert of["features_rate_hz"]["min"] == pytest.approx(2.5)
    # The first set is used by 3 chunks, at ages of 300 to 500 ms; the next by 4 each, at 200 to 500; the last by one.
    assert (of["reuse"]["count"], of["reuse"]["min"], of["reuse"]["max"]) == (6, 1.0, 4.0)
    assert of["reuse"]["mean"] == pytest.approx(20 / 6, rel=1e-5)
    assert (of["features_age_ms"]["min"], of["features_age_ms"]["max"]) == (pytest.approx(200.0), pytest.approx(500.0))
    assert of["force_n"]["max"] == pytest.approx(0.19) and of["force_interval_ms"]["count"] == 99
    assert of["rejected_chunks"]["max"] == 0.0
    assert set(STATISTICS) < set(of["reuse"])


def test_a_good_run_meets_every_target_and_nothing_happened(good):
    found = read(good)
    assert found["ok"] and found["events"] == [] and missed(found) == set()
    assert found["logs"] == [
        {"name": "episode_0001", "kind": "bag", "policy": "made-up", "chunks": "20 of 1 goals", "features": "7"}
    ]


def test_planted_faults_are_found_where_they_are(faulty, tmp_path, capsys):
    assert run(tmp_path, faulty) == 0, "verdicts alone are no failure"
    assert run(tmp_path, faulty, words=("--strict",)) == 1
    found, said = read(tmp_path), capsys.readouterr().out
    events = {(event["metric"], round(event["at_s"], 2)): event for event in found["events"]}
    assert set(events) == {
        ("chunk_gaps", 1.6), ("stuck_chunks", 3.0), ("stuck_features", 1.5), ("features_gaps", 4.5)
    }  # fmt: skip
    assert events["chunk_gaps", 1.6]["sentence"] == "no chunk for 0.40 s, from 1.6 s on"
    assert events["stuck_chunks", 3.0]["sentence"].startswith("60 chunks in a row are the same while the tool moved 59")
    assert events["stuck_features", 1.5]["sentence"].startswith("4 feature sets in a row are the same")
    assert events["features_gaps", 4.5]["length_s"] == pytest.approx(1.6)
    assert missed(found) >= {
        ("action_time_ms", "p99"), ("chunk_interval_ms", "p99"), ("chunk_gaps", "max"), ("stuck_chunks", "max"),
        ("stuck_features", "max"), ("features_gaps", "max"), ("reuse", "p99"), ("rejected_chunks", "max"),
        ("features_age_ms", "max"),
    }  # fmt: skip
    assert not found["ok"]
    assert "NOT GOOD time of a chunk: p99 is" in said and "choose the steps and the back end that profile" in said
    assert found["statistics"]["rejected_chunks"]["max"] == 2.0
    assert found["statistics"]["action_time_ms"]["max"] == pytest.approx(300.0)


def test_the_page_is_one_file_with_its_plots_and_says_what_is_wrong(faulty, tmp_path):
    assert run(tmp_path / "made" / "report", faulty) == 0
    alone = tmp_path / "sent.html"
    alone.write_bytes((tmp_path / "made" / "report" / "index.html").read_bytes())
    page = open_page(alone, tmp_path)
    assert page.problems() == [] and len(page.pictures) == 2
    assert all(source.startswith("data:image/png") and width > 1000 for source, width in page.pictures)
    assert "targets are missed" in page.text and "No chunk for 0.40 s, from 1.6 s on" in page.text
    assert "Over time: episode_0002" in page.text and "median" in page.text


def test_what_repeats_itself_for_a_reason_is_no_fault(tmp_path):
    resting = Run(still=True, repeated=set(range(3, 15)), repeated_features={2, 3, 4})
    holding = Run(holding=set(range(5, 15)))
    for name, made in {"resting": resting, "holding": holding}.items():
        write_run(tmp_path / name, made)
        assert run(tmp_path / f"{name}_report", tmp_path / name, words=("--strict",)) == 0
        assert read(tmp_path / f"{name}_report")["events"] == []


def test_the_time_between_goals_is_no_gap_and_a_policy_that_sees_nothing_has_no_age(tmp_path):
    first = Run(goal="one", feature_sets=0)
    second = Run(goal="two", feature_sets=0, start_ms=9000)
    write_run(tmp_path / "bag", first, second, leave_out=(FEATURES, FORCE))
    assert run(tmp_path / "report", tmp_path / "bag", words=("--strict",)) == 0
    found = read(tmp_path / "report")
    assert found["events"] == [] and found["statistics"]["chunk_rate_hz"]["count"] == 2
    assert found["logs"][0]["chunks"] == "40 of 2 goals"
    assert {"features_age_ms", "reuse", "vlm_time_ms"}.isdisjoint(found["statistics"])
    (check,) = [check for check in found["checks"] if check["name"] == "vlm_time_ms"]
    assert check["ok"] and check["value"] is None and check["sentence"] == "time of the features: not measured here."


def test_bags_are_put_together(tmp_path):
    bags = tmp_path / "bags"
    write_run(bags / "a", Run())
    write_run(bags / "b", Run(chunks=10))
    assert run(tmp_path / "report", bags) == 0
    of = read(tmp_path / "report")["statistics"]
    assert of["action_time_ms"]["count"] == 30 and of["chunk_interval_ms"]["count"] == 28


def test_an_episode_of_a_collection_is_analysed(tmp_path):
    assert collect.main(["--fast", "--episodes", "1", "--out", str(tmp_path), "--time-limit-s", "2.5"]) == 0
    assert run(tmp_path / "report", tmp_path) == 0
    found = read(tmp_path / "report")
    assert found["statistics"]["chunk_rate_hz"]["median"] == pytest.approx(10.0, abs=0.05)
    assert found["statistics"]["force_interval_ms"]["mean"] == pytest.approx(1000 / 650, rel=1e-3)
    assert found["events"] == [] and missed(found) == set()


RESULT = Result(
    500000, "red", "success", "finished", None, 12.0, 0.4, 0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.2, None, None, None, None,
    3, 1, (10.0, 20.0, 120.0), (30.0,),
)  # fmt: skip
TRIAL = {
    "policy": "visual_servo", "seed": 1, "task_success": True, "truth_success": True, "action_rate_hz": 9.0,
    "action_interval_p99_s": 0.105, "features_age_p99_s": None, "peak_force_n": 0.2,
}  # fmt: skip


def test_an_evaluation_and_its_live_trials_are_analysed(tmp_path):
    with ResultsFile(tmp_path / "ev", {"policy": "models/mine"}) as file:
        file.add(RESULT)
    (tmp_path / "ev" / "live.jsonl").write_text(json.dumps(TRIAL) + "\n" + '{"policy": "cut o')
    assert run(tmp_path / "report", tmp_path / "ev", words=("--strict",)) == 1
    found = read(tmp_path / "report")
    of = found["statistics"]
    assert (of["action_time_ms"]["median"], of["vlm_time_ms"]["max"]) == (20.0, 30.0)
    assert of["peak_force_n"]["count"] == 2 and of["chunk_interval_p99_ms"]["max"] == pytest.approx(105.0)
    assert "features_age_p99_ms" not in of, "what a trial does not tell is missing"
    assert missed(found) == {("action_time_ms", "p99"), ("chunk_rate_hz", "min"), ("rejected_chunks", "max")}
    assert [log["kind"] for log in found["logs"]] == ["evaluation", "trials"]


def test_targets_of_ones_own(tmp_path, capsys):
    write_run(tmp_path / "bag", Run())
    text = (find_config() / "targets.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("vlm_time_ms: {p95: {at_most: 385.0}}", "vlm_time_ms: {mean: {at_most: 40}}"))
    assert run(tmp_path / "report", tmp_path / "bag", words=("--targets", str(mine), "--strict")) == 1
    assert missed(read(tmp_path / "report")) == {("vlm_time_ms", "mean")}
    assert "time of the features: mean is 50 ms; expected at most 40 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("reuse: {p99", "reuze: {p99", "'targets.reuze' is not a known entry; did you mean 'reuse'?"),
        ("reuse: {p99", "reuse: {p98", "'targets.reuse.p98' is not a known entry; did you mean 'p99'?"),
        ("same_after: 3", "same_after: 1", "'detect.same_after': Input should be greater than or equal to 2, got 1"),
        ("reuse: {p99: {at_most: 8.0}}", "reuse: {p99: {}}", "expected at_least, at_most or both, got neither"),
        ("moved_mm: 0.1", "moved: 0.1", "'detect.moved' is not a known entry; did you mean 'moved_mm'?"),
    ],
)
def test_wrong_targets_are_refused_by_name(tmp_path, capsys, old, new, sentence):
    mine = tmp_path / "mine.yaml"
    text = (find_config() / "targets.yaml").read_text()
    assert old in text
    mine.write_text(text.replace(old, new))
    assert run(tmp_path / "report", tmp_path, words=("--targets", str(mine))) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "report").exists()


def test_the_shipped_targets_name_metrics_that_exist():
    targets = load_targets(find_config() / "targets.yaml").targets
    assert sum(getattr(targets, name) is not None for name in METRICS) > 10


def test_what_is_no_log_is_refused_with_what_to_do(tmp_path, capsys):
    assert run(tmp_path / "report", tmp_path / "none") == 2
    assert "expected a bag or a folder of bags, there is no" in capsys.readouterr().err
    (tmp_path / "log.jsonl").write_text('{"seed": 1}\n')
    assert run(tmp_path / "report", tmp_path / "log.jsonl") == 2
    assert "expected the lines that trials writes" in capsys.readouterr().err
    write_run(tmp_path / "bag", Run(), leave_out=(CHUNK,))
    assert run(tmp_path / "report", tmp_path / "bag") == 2
    assert "record action_expert/chunk too" in capsys.readouterr().err
    write_run(tmp_path / "idle", Run(chunks=0))
    assert run(tmp_path / "report", tmp_path / "idle") == 2
    assert "there are none: record while a goal runs" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


PAGE = Path(__file__).parents[3] / "docs" / "profiling.md"


def test_every_command_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    diffusion_checkpoint(Path("runs/diffusion/best"))
    write_run(Path("recordings/episode_0001"), Run())
    with ResultsFile(Path("results/diff"), {"policy": "runs/diffusion/best"}) as file:
        file.add(replace(RESULT, rejected=0, inference_ms=(10.0, 12.0)))
    Path("trials.jsonl").write_text(json.dumps(TRIAL) + "\n")
    Path("mine.yaml").write_text((find_config() / "targets.yaml").read_text())
    commands = [line for line in PAGE.read_text().splitlines() if line.startswith("ros2 run ")]
    assert len(commands) == 5
    verbs = {"profile": profile.main, "analyze": analyze.main}
    for command in commands:
        package, verb, *words = shlex.split(command, comments=True)[2:]
        # What takes long is done by other tests.
        brief = ["--repeats", "3", "--backends", "eager", "--budget-ms", "1000"] if verb == "profile" else []
        assert package == "insertion_vla_training"
        assert verbs[verb]([*words, *brief]) == 0, command
        assert (tmp_path / words[words.index("--out") + 1]).is_dir()
    assert {file.name for file in Path("results/run").iterdir()} >= {"analysis.json", "index.html"}
