"""The verb `inspect` as a user runs it: verdict, exit codes, pages, contact sheets, and runs that go on."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote, unquote

import cv2
import numpy as np
import pytest
from browser import find_browser, open_page
from episode_rig import messages, write_episode
from insertion_vla_training.inspect import main
from insertion_vla_training.inspection.pool import known
from insertion_vla_training.preprocess import main as preprocess
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.store import Store
from inspect_rig import LIMITS, blurred, data_of, good, make_store

STRANGE = '../<b>odd & "quoted"</b> ü 1%'
PAUSE = threading.Event()  # never set: between two looks at a condition, until a deadline
BLURRY, STUCK = "blurry_0001", "stuck_0002"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def episodes():
    fine, blurry, stuck = good(STRANGE, 1), good(BLURRY, 2), good(STUCK, 3)
    blurry.views["hand"]["blobs"][4:9] = [blurred(data) for data in blurry.views["hand"]["blobs"][4:9]]
    stuck.streams["force"]["values"][1000:1400] = 0.01
    return [fine, blurry, stuck]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of three episodes that was inspected by two processes; its report is beside it."""
    path = make_store(tmp_path_factory.mktemp("data") / "store", episodes())
    assert run(path, "--jobs", 2) == 0
    return path


@pytest.fixture(scope="module")
def report(store):
    return store.with_name("store_report")


def verdict(folder):
    return json.loads((folder / "verdict.json").read_text(encoding="utf-8"))


def pictures(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".png", ".jpg")}


def test_the_verdict_names_what_is_wrong_and_strict_fails(store, report, capsys):
    assert run(store) == 0 and run(store, "--strict") == 1
    said = capsys.readouterr().out
    assert f"{BLURRY}: 5 of 20 images of 'hand' are blurry" in said and f"{STUCK}: the force stood at exactly" in said
    assert "3 episodes (0 looked at now): 1 good, 2 not" in said and str(report / "index.html") in said
    found = verdict(report)
    assert found["ok"] is False and [one["ok"] for one in found["episodes"]] == [True, False, False]
    bad = {one["name"]: [c for c in one["checks"] if not c["ok"]] for one in found["episodes"]}
    assert bad[STRANGE] == []
    (blur,) = bad[BLURRY]
    assert (blur["name"], blur["subject"], blur["value"], blur["bound"]) == ("blurry", "hand", 0.25, [None, 0.05])
    assert "look at them" in blur["sentence"]
    for one in found["episodes"]:
        assert len(one["checks"]) > 50 and (report / one["report"]).is_file() and (report / one["sheet"]).is_file()


def test_what_is_up_to_date_is_not_looked_at_again(store, tmp_path, capsys):
    """Also where the store and its report were moved together."""
    path, report = (
        shutil.copytree(folder, tmp_path / folder.name) for folder in (store, store.parent / "store_report")
    )
    before = pictures(report)
    assert run(path, "--jobs", 1) == 0
    assert "(0 looked at now)" in capsys.readouterr().out and pictures(report) == before
    # A picture is gone, a file is damaged, and an episode has come: those are looked at, the other one is not.
    (report / "episodes" / BLURRY / "motion.png").unlink()
    measured = report / "episodes" / STUCK / "measured.json"
    measured.write_text(measured.read_text()[:1000])
    with Store.open(path, writable=True) as opened:
        opened.append_episode(data_of(good("new_one", 4), 3))
    assert run(path, "--jobs", 1) == 0
    assert "4 episodes (3 looked at now)" in capsys.readouterr().out
    kept = {picture.parent.name for picture, stamp in pictures(report).items() if before.get(picture) == stamp}
    assert kept == {quote(STRANGE, safe="").replace("..", "%2E.", 1)}
    for page in (report / "index.html", report / "episodes" / STUCK / "report.html"):
        assert "new_one" in page.read_text(encoding="utf-8")


def test_other_limits_mean_another_look(store, report):
    opened = Store.open(store)
    assert set(known(opened, report, LIMITS)) == {STRANGE, BLURRY, STUCK}
    assert known(opened, report, LIMITS.model_copy(update={"force_stuck": 1.0})) == {}


def test_a_run_that_is_killed_goes_on_and_a_good_data_set_passes_strict(tmp_path, capsys):
    path = make_store(tmp_path / "store", [good("first", 1), good("second", 2)], Split(val_share=0.0))
    report = tmp_path / "elsewhere" / "report"
    command = [sys.executable, "-m", "insertion_vla_training.inspect", path, "--jobs", "1", "--report", report]
    running = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline_s = time.monotonic() + 300
    while time.monotonic() < deadline_s and not (report / "episodes" / "first" / "measured.json").exists():
        PAUSE.wait(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL and not (report / "index.html").exists()
    assert run(path, "--jobs", 1, "--strict", "--report", report) == 0
    assert "2 episodes (1 looked at now): 2 good, 0 not; the data set as a whole is good" in capsys.readouterr().out
    assert verdict(report)["ok"] is True
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "store"]


def test_the_contact_sheet_shows_every_view_and_the_curves(report):
    sheet = cv2.imread(str(report / "episodes" / STUCK / "sheet.png"))
    height, width = sheet.shape[:2]
    assert width == 1600 and 600 < height < 1200
    colourful = np.ptp(sheet.astype(int), axis=2) > 60
    # Thumbnails: half of the upper part is neither white nor grey. Curves: blue, green and orange ink below.
    assert colourful[70:270].mean() > 0.3
    below = sheet[300:].astype(int)
    for ink in ((235, 111, 31), (62, 138, 43), (12, 89, 232)):
        assert (np.abs(below - ink).max(axis=2) < 30).sum() > 100, ink


def test_the_pages_open_in_a_browser(report, tmp_path):
    index = open_page(report / "index.html", tmp_path, tmp_path / "index.png")
    assert index.problems() == [] and len(index.pictures) == 3
    for words in ("Quality of a data set", STRANGE, BLURRY, "blurry hand", "stuck force", "Checks of the data set"):
        assert words in index.text, words
    assert_links_lead_somewhere(index.links, report)
    (page,) = report.glob("episodes/stuck*/report.html")
    one = open_page(page, tmp_path, tmp_path / "one.png")
    assert one.problems() == [] and [source for source, _ in one.pictures][0] == "sheet.png" and len(one.pictures) == 5
    assert "checks are not good" in one.text and "The force stood at exactly 0.0100" in one.text
    assert_links_lead_somewhere(one.links, page.parent)
    for name in ("index.png", "one.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 10
    for html in report.rglob("*.html"):
        text = html.read_text(encoding="utf-8")
        assert "<script" not in text and "http" not in text and "<b>odd" not in text


def assert_links_lead_somewhere(links, folder):
    assert links
    for link in links:
        assert (folder / unquote(link)).is_file(), link


def test_the_browser_of_the_tests_sees_what_is_wrong(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<body><img src='none.png'><p style='width:9000px'>x</p><script>oh()</script></body>")
    found = open_page(page, tmp_path / "scratch").problems()
    assert found[0] == "picture none.png did not load" and "oh is not defined" in found[-2] and "too wide" in found[-1]


def test_without_a_browser_tests_are_skipped_and_on_a_ci_machine_they_fail(monkeypatch):
    monkeypatch.setenv("INSERTION_VLA_BROWSER", "no-such-browser")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        find_browser()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-browser of INSERTION_VLA_BROWSER is none"):
        find_browser()


def test_from_a_bag_to_a_verdict(tmp_path, capsys):
    """The rig's images are no pictures, its force is noise: said, and the rest is still drawn."""
    write_episode(tmp_path / "bag", messages(1.5, seed=1), outcome="success")
    assert preprocess([str(tmp_path / "bag"), "--store", str(tmp_path / "store"), "--jobs", "1"]) == 0
    assert run(tmp_path / "store", "--jobs", 1, "--strict") == 1
    (one,) = verdict(tmp_path / "store_report")["episodes"]
    bad = {(check["name"], check["subject"]) for check in one["checks"] if not check["ok"]}
    assert {("decodable", view) for view in ("front", "side", "hand")} <= bad
    assert not {name for name, _ in bad} & {"rate", "gap", "dropped", "offset", "clock_drift", "stuck", "alines"}


def test_what_cannot_be_done_is_refused_with_a_sentence(tmp_path, store, capsys):
    Store.create(tmp_path / "empty", Store.open(store).contract_text).close()
    (tmp_path / "limits.yaml").write_text("free_speed: 1\n")
    for arguments, words in (
        ((tmp_path / "none",), "make one with: preprocess"),
        ((tmp_path / "empty",), "add some with: preprocess"),
        ((store, "--limits", tmp_path / "limits.yaml"), "force_hard"),
        ((store, "--jobs", 0), "--jobs of at least 1"),
    ):
        assert run(*arguments) == 2
        said = capsys.readouterr().err
        assert words in said and "Traceback" not in said


def test_a_full_disk_is_told(tmp_path, store):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from insertion_vla_training.inspect import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, str(store), "--jobs", "1", "--report", str(tmp_path / "report")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2 and "no space left for the report" in ended.stderr, ended.stderr
    assert "run the same command again" in ended.stderr and "Traceback" not in ended.stderr
    assert not list(Path(tmp_path / "report").rglob("measured.json"))
