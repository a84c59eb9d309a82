"""`compare`: paired figures against ones worked out by hand, and the report as its reader sees it."""

import csv
import json

import cv2
import pytest
from browser import open_page
from evaluate_rig import diffusion_checkpoint
from insertion_vla_policy.run_options import RunOptions
from insertion_vla_sim.config import find_config
from insertion_vla_training.evaluation import comparison_plot
from insertion_vla_training.evaluation.comparison_plot import draw_comparison
from insertion_vla_training.evaluation.hardships import told_sentence
from insertion_vla_training.evaluation.live import live_report
from insertion_vla_training.evaluation.pairs import bootstrap, mcnemar
from insertion_vla_training.evaluation.settings import Settings
from insertion_vla_training.evaluation.variants import AS_IS, short_names, variants

from insertion_vla_training import compare


def test_mcnemar_is_the_binomial_of_the_pairs_that_differ():
    first = [True] * 6 + [False] + [True] * 20
    second = [False] * 6 + [True] + [True] * 20
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (6, 1)
    assert found.p_value == pytest.approx(2 * (1 + 7) / 2**7)
    assert mcnemar([True, False], [True, False]).p_value == 1.0
    with pytest.raises(ValueError, match="same seeds"):
        mcnemar([True], [])


def test_the_bootstrap_of_pairs_keeps_what_is_common_to_both_out():
    common = [0.0, 10.0, 20.0, 30.0] * 10
    mean, low, high = bootstrap([value + 1.0 for value in common], common)
    assert mean == low == high == pytest.approx(1.0)
    mean, low, high = bootstrap([1.0] * 10 + [0.0] * 10, [0.0] * 20)
    assert mean == 0.5 and 0.2 < low < 0.4 and 0.6 < high < 0.8


def test_policies_are_called_by_what_tells_them_apart():
    assert short_names(["a/run/best", "b/run/best", "visual_servo"]) == ["a/run/best", "b/run/best", "visual_servo"]
    assert short_names(["models/diffusion", "models/regression"]) == ["diffusion", "regression"]


def test_the_wrong_instruction_names_another_trocar():
    assert {told_sentence("wrong", colour) for colour in ("red", "green", "blue")} == {
        told_sentence("named", colour) for colour in ("red", "green", "blue")
    }
    assert told_sentence("wrong", "red") != told_sentence("named", "red") and told_sentence("empty", "red") == ""


def test_every_mode_is_played_at_every_delay_and_only_diffusion_is_guided(tmp_path):
    policies = [diffusion_checkpoint(tmp_path / name, name) for name in ("diffusion", "regression")]
    swept = [
        each
        for each in variants([Settings(str(policy), find_config()) for policy in policies], ["execution"])
        if each.sweep == "execution"
    ]
    found = {(each.policy, each.settings.execution, each.settings.inference_delay_s) for each in swept}
    modes = {"diffusion": ("blend", "newest", "ensemble", "guided"), "regression": ("blend", "newest", "ensemble")}
    assert found == {(name, mode, late) for name in modes for mode in modes[name] for late in (0.0, 0.2, 0.4)}
    assert len({each.folder for each in swept}) == len(swept) == len(found)
    share = {"count": 5, "of": 6, "share": 5 / 6, "low": 0.4, "high": 0.97}
    rows = [{"policy": each.policy, "sweep": each.sweep, "value": each.value, "success": share} for each in swept]
    draw_comparison({"rows": rows}, tmp_path / "modes.png")
    assert cv2.imread(str(tmp_path / "modes.png")).std() > 10.0


def test_the_policies_as_they_are_stand_at_the_steps_that_they_take(monkeypatch, tmp_path):
    success = {"share": 1.0, "low": 0.9, "high": 1.0, "count": 9, "of": 9}
    places = [(AS_IS, ""), *(("steps", str(n)) for n in (1, 2, 10))]
    rows = [{"policy": "d", "sweep": sweep, "value": value, "success": success} for sweep, value in places]
    drawn = []
    monkeypatch.setattr(comparison_plot, "save", lambda figure, path: drawn.extend(figure.axes))
    comparison_plot.draw_comparison({"rows": rows}, tmp_path / "comparison.png")
    steps = next(axes for axes in drawn if axes.get_xlabel() == "steps")
    assert list(steps.lines[0].get_xdata()) == [1, 2, RunOptions().steps, 10]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    words = ["scripted", "--sweeps", "touch", "--episodes", "1", "--seed", "500002", "--jobs", "1", "--out", str(out)]
    assert compare.main(words) == 0
    return out, words


def test_touch_of_another_episode_is_felt_and_reported(compared, tmp_path, capsys):
    out, words = compared
    rows = json.loads((out / "comparison.json").read_text())["rows"]
    own, shuffled, delayed = rows
    assert own["success"]["count"] == 1 and own["peak_force_n"] < 0.3
    # It stops when the other episode's needle touched, or pushes on.
    assert shuffled["success"]["count"] == 0 or shuffled["peak_force_n"] > 2 * own["peak_force_n"]
    assert delayed["peak_force_n"] > own["peak_force_n"]
    table = list(csv.DictReader((out / "comparison.csv").open()))
    assert [row["value"] for row in table] == ["", "shuffled", "delayed"]
    assert [float(row["sparc"]) for row in table] == [row["sparc"] for row in rows] and own["sparc"] < -1.0
    page = open_page(out / "index.html", tmp_path)
    assert page.problems() == [] and "comparison.png" in [source for source, _ in page.pictures]
    assert "Force and A-line" in page.text
    kept = (out / "scripted_touch_shuffled" / "episodes.jsonl").read_bytes()
    assert compare.main(words) == 0  # goes on where it was: nothing is left to play
    assert (out / "scripted_touch_shuffled" / "episodes.jsonl").read_bytes() == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scripted", "--sweeps", "speed"], "got 'speed'"),
        (["scripted", "--seed", "3"], "which training never uses"),
        (["scripted", "scripted"], "name each once"),
        (["no_such_policy"], "no_such_policy"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(words, said, tmp_path, capsys):
    assert compare.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_live_and_lock_step_are_set_side_by_side(tmp_path):
    trials = {
        500000 + at: {"task_success": True, "truth_success": at > 0, "action_rate_hz": 10.0, "seed": 500000 + at}
        for at in range(10)
    }
    said = live_report(trials, [], tmp_path)
    assert said == ["live success 9 of 10: 90.0 % (59.6 to 98.2 %)", "action rate 10.00 to 10.00 Hz"]
    assert json.loads((tmp_path / "live.json").read_text())["live"]["count"] == 9
