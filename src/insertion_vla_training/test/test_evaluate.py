"""`evaluate`: closed-loop episodes in lock-step, seen as whoever runs the verb and reads its report sees them."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
from browser import open_page
from evaluate_rig import diffusion_checkpoint
from insertion_vla_core.executor import Execution
from insertion_vla_core.revision import git_revision
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_sim.config import find_config
from insertion_vla_sim.lockstep import Lockstep
from insertion_vla_sim.privileged import PrivilegedPolicy
from insertion_vla_training.evaluation.episode import _play, load_bench, play_episode
from insertion_vla_training.evaluation.outcome import WRONG_TARGET, outcome_of
from insertion_vla_training.evaluation.results import EPISODES, read_results
from insertion_vla_training.evaluation.settings import FIRST_SEED, Settings
from insertion_vla_training.evaluation.summary import summarise
from PIL import Image

from insertion_vla_training import evaluate

BRIEF = ("--time-limit-s", "2")
TIMES = ("inference_ms", "features_ms")
WAIT_S = 120.0
TUNING_SEED = 400_000


def run(out, *words, policy="scripted", episodes=1, jobs=1):
    return evaluate.main([policy, "--out", str(out), "--episodes", str(episodes), "--jobs", str(jobs), *words])


def settings(policy="scripted", **changes):
    return replace(Settings(policy, find_config(), time_limit_s=2.0), **changes)


def seen(result):
    """All of a result but how long this machine took."""
    return {name: value for name, value in result.as_dict().items() if name not in TIMES}


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    """The expert's paths, played once for all tests."""
    return tmp_path_factory.mktemp("experts")


SLOW = FIRST_SEED + 2  # takes the expert 3 s longer than the one before
TIMELY = ("--time-limit-s", "13")  # enough for one of them


@pytest.fixture(scope="module")
def whole(tmp_path_factory, experts):
    """An evaluation with one success and one failure."""
    out = tmp_path_factory.mktemp("whole")
    assert run(out, *TIMELY, "--seed", str(SLOW - 1), "--experts", str(experts), episodes=2) == 0
    return out


def test_the_scripted_expert_succeeds_on_its_own_path(whole):
    settings_there, (good, bad) = read_results(whole)
    assert settings_there["policy"] == "scripted" and settings_there["randomisation"] == "heldout"
    assert good.success and good.seed == SLOW - 1 and good.detail == "finished"
    assert (good.path_p95_mm, good.path_p95_deg) == pytest.approx((0.0, 0.0), abs=1e-3)
    assert good.sparc == good.expert_sparc < -1.0 and good.gap_mm > 0.0
    assert 0.0 < good.mean_force_n < good.peak_force_n < 0.5
    assert 0.0 < good.depth_error_mm < 0.5 and good.lateral_mm < 0.5
    assert good.diversity_mm is None and good.features_ms == () and len(good.inference_ms) == good.chunks
    assert bad.outcome == "time limit" and "last words: insert" in bad.detail
    assert bad.mean_force_n is None and bad.depth_error_mm < -0.5


def test_summary_and_table_say_what_the_results_say(whole):
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["success"] == pytest.approx(
        {"count": 1, "of": 2, "share": 0.5, "low": 0.0945, "high": 0.9055}, abs=1e-4
    )
    assert summary["failures"] == {"time limit": 1} and summary["wrong_target"]["count"] == 0
    assert (
        summary["figures"]["duration_s"]["max"] == pytest.approx(13.0, abs=0.01)
        and summary["figures"]["mean_force_n"]["episodes"] == 1
    )
    assert set(summary["times"]["inference_ms"]) == {"calls", "p50", "p95", "p99", "max"}
    assert summary["times"]["features_ms"] is None and summary["settings"]["limits.yaml"]
    rows = list(csv.DictReader((whole / "episodes.csv").open()))
    assert [row["outcome"] for row in rows] == ["success", "time limit"]
    assert rows[1]["mean_force_n"] == "" and float(rows[1]["duration_s"]) == pytest.approx(13.0, abs=0.01)


def test_results_say_which_code_played_them(whole, tmp_path):
    (good, bad), here = read_results(whole)[1], git_revision(__file__)
    assert good.revision == bad.revision and good.revision.removesuffix("-dirty") == here.removesuffix("-dirty") != ""
    assert here[:12] in open_page(whole / "index.html", tmp_path).text
    mixed = [replace(good, revision="a" * 40), replace(good, revision="b" * 40 + "-dirty"), replace(bad, revision="")]
    assert summarise(mixed)["code"] == ["unknown", "a" * 12, "b" * 12 + "-dirty"]


def test_the_page_shows_both_films_the_plots_and_every_episode(whole, tmp_path):
    page = open_page(whole / "index.html", tmp_path)
    assert page.problems() == []
    films = [f"success_{SLOW - 1}.gif", f"failure_{SLOW}.gif"]
    assert [source for source, _ in page.pictures] == [*films, "evaluation.png"]
    assert "Success in 1 of 2: 50.0 % (9.5 to 90.5 %)" in page.text and "Time limit: 1" in page.text
    assert "last words: insert" in page.text and "Training may have seen" not in page.text
    with Image.open(whole / films[0]) as film:
        frames = film.n_frames
        first = np.array(film.convert("RGB"))
        film.seek(frames - 1)
        assert frames > 20 and np.abs(first.astype(int) - np.array(film.convert("RGB"))).mean() > 1.0
    assert cv2.imread(str(whole / "evaluation.png")).std() > 10.0


def test_the_same_seed_gives_the_same_episode_in_any_process(tmp_path, experts):
    words = (*BRIEF, "--experts", str(experts))
    assert run(tmp_path / "one", *words, episodes=2) == 0
    assert run(tmp_path / "two", *words, episodes=2, jobs=2) == 0
    one, two = (read_results(tmp_path / name)[1] for name in ("one", "two"))
    assert [seen(result) for result in one] == [seen(result) for result in two]
    assert seen(one[0]) != seen(one[1])


def started(out, *words):
    command = [sys.executable, "-m", "insertion_vla_training.evaluate", "scripted", "--out", str(out), *BRIEF, *words]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )


def until_an_episode_is_said(process):
    """Every one of them fails for want of time, and a failure is said at once."""
    for line in process.stderr:
        if line.startswith("seed "):
            return
    pytest.fail(f"no episode came, exit code {process.wait(WAIT_S)}")


def test_a_run_that_was_killed_goes_on_and_keeps_what_was_there(tmp_path, experts, capsys):
    process = started(tmp_path, "--experts", str(experts), "--episodes", "50", "--jobs", "1")
    until_an_episode_is_said(process)
    process.kill()
    process.communicate(timeout=WAIT_S)
    kept = (tmp_path / EPISODES).read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    there = kept.count(b"\n") - 1
    assert there >= 1
    (tmp_path / EPISODES).write_bytes(kept + b'{"seed": 500')  # as a kill in the middle of a line leaves it
    assert run(tmp_path, *BRIEF, "--experts", str(experts), episodes=there + 1) == 0
    assert (tmp_path / EPISODES).read_bytes().startswith(kept)
    assert [result.seed for result in read_results(tmp_path)[1]] == list(range(FIRST_SEED, FIRST_SEED + there + 1))
    assert f"0 of {there + 1}" in (said := capsys.readouterr()).out and said.err.count("seed ") == 1


def test_ctrl_c_ends_at_once_with_whole_results_and_no_process_left(tmp_path, experts):
    process = started(tmp_path, "--experts", str(experts), "--episodes", "200", "--jobs", "2")
    try:
        until_an_episode_is_said(process)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=WAIT_S)[1]  # which ends when the last worker has closed it
    finally:
        process.kill()
    assert process.returncode == 130 and said.splitlines()[-1] == "evaluate: interrupted"
    assert "Traceback" not in said
    assert 1 <= len(read_results(tmp_path)[1]) < 200
    assert not list(tmp_path.rglob("*.part"))


def test_a_needle_in_another_trocar_is_found_on_the_way():
    bench = load_bench(settings())
    play = Lockstep(FIRST_SEED, limits=bench.limits, contract=bench.contract, randomisation="heldout")
    other = next(colour for colour in play.world.layout.colours if colour != play.colour)
    play.policy = PrivilegedPolicy(play.world, other, 0)
    _, wrong = _play(play, lambda: False)
    assert wrong == other and outcome_of(play.run(), wrong) == WRONG_TARGET


def test_a_diffusion_checkpoint_is_timed_and_its_samples_are_compared(tmp_path, experts):
    folder = diffusion_checkpoint(tmp_path / "policy")
    of = settings(str(folder), options=RunOptions(steps=2))
    result, _ = play_episode(FIRST_SEED, load_bench(of), experts)
    again, _ = play_episode(FIRST_SEED, load_bench(replace(of, diversity_samples=0)), experts)
    assert result.diversity_mm > 0.0 and again.diversity_mm is None
    assert {**seen(result), "diversity_mm": None} == seen(again), "to look at samples changes nothing"
    assert len(result.features_ms) >= 2 and min(result.features_ms) > 0.0
    assert of.identity()["weights"] != "" and of.identity()["options"]["steps"] == 2


@pytest.mark.parametrize("touch", ["shuffled", "delayed"])
def test_samples_are_compared_under_another_touch_too(tmp_path, experts, touch):
    of = settings(str(diffusion_checkpoint(tmp_path / "policy")), options=RunOptions(steps=2), touch=touch)
    assert play_episode(FIRST_SEED, load_bench(of), experts)[0].diversity_mm > 0.0


def test_the_mode_of_execution_reaches_the_arm(experts):
    of = settings("visual_servo")
    played = [
        play_episode(TUNING_SEED, load_bench(replace(of, execution=mode)), experts)[0] for mode in get_args(Execution)
    ]
    assert len({(result.path_median_mm, result.path_p95_mm, result.sparc) for result in played}) == len(played)


def test_guided_chunks_continue_each_other_for_as_long_as_they_are_late(tmp_path, experts):
    of = settings(str(diffusion_checkpoint(tmp_path / "policy")), options=RunOptions(steps=2), diversity_samples=0)
    guided = replace(of, execution="guided", inference_delay_s=0.2)
    gaps_mm = [play_episode(TUNING_SEED, load_bench(each), experts)[0].gap_mm for each in (of, guided)]
    assert gaps_mm[1] < 0.7 * gaps_mm[0]
    assert guided.run_options.guided_s == pytest.approx(0.21) and of.run_options.guided_s == 0.0


def test_added_delays_reach_the_policy(experts):
    late = settings(inference_delay_s=0.3, feature_age_s=0.5)
    assert late.timing.inference_delay_s == pytest.approx(0.31)
    assert late.timing.feature_delay_s == pytest.approx(0.6)
    blind = settings("visual_servo", feature_age_s=2.0, time_limit_s=1.5)
    result, _ = play_episode(FIRST_SEED, load_bench(blind), experts)
    assert result.chunks == 0 and "'features' is missing" in result.detail


def test_results_of_other_settings_are_not_mixed(whole, capsys):
    before = (whole / EPISODES).read_bytes()
    assert run(whole, *TIMELY, "--delay-ms", "100") == 2
    said = capsys.readouterr().err
    assert "inference_delay_s 0.0 instead of 0.1" in said and "another --out" in said
    assert (whole / EPISODES).read_bytes() == before


def test_a_damaged_file_is_refused(tmp_path, capsys):
    (tmp_path / EPISODES).write_text("seed,success\n1,true\n")
    assert run(tmp_path) == 2
    assert "cannot be read: name another --out, or delete the file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("visual_serv",),
            "expected a policy of scripted, diffusion, regression, visual_servo or the path of a checkpoint's folder",
        ),
        (("./none",), "expected a checkpoint in the folder none, there is no such folder"),
        (("scripted", "--episodes", "0"), "expected --episodes and --jobs of at least 1, got 0"),
        (("scripted", "--seed", "999999"), "expected seeds from 0 to 999999, got 999999 and 40 episodes"),
        (("scripted", "--steps", "0"), "expected --steps of at least 1, got 0"),
        (("scripted", "--delay-ms", "-5"), "expected --delay-ms from 0 to 2000, got -5"),
        (("scripted", "--feature-age-ms", "nan"), "expected --feature-age-ms from 0 to 5000, got nan"),
        (("visual_servo", "--execution", "guided"), "expected a diffusion policy for guided execution"),
        (("scripted", "--execution", "newest", "--live"), "expected --live without delays, hardships"),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_do(tmp_path, capsys, words, sentence):
    assert evaluate.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out" / EPISODES).exists()
