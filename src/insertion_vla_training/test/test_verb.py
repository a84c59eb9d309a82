"""The behaviour that all verbs share: flags, errors, signals, progress."""

import os
import signal
import subprocess
import sys

import pytest
from insertion_vla_training.cli.progress import Progress, progress_over
from insertion_vla_training.cli.verb import Parser, run_verb


def parser() -> Parser:
    made = Parser("weigh", "Weighs bags.")
    made.add_argument("bags", nargs="*")
    made.add_argument("--seed", type=int, default=0)
    return made


def test_an_unknown_flag_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as left:
        run_verb(parser(), lambda given: 0, ["--sed", "3"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "unknown flag --sed, did you mean --seed?" in said and len(said.splitlines()) == 1


def test_a_misspelt_flag_is_told_before_what_then_is_missing(capsys):
    made = Parser("weigh", "Weighs bags.")
    made.add_argument("--output", required=True)
    with pytest.raises(SystemExit):
        run_verb(made, lambda given: 0, ["--ouput", "x"])
    assert "unknown flag --ouput, did you mean --output?" in capsys.readouterr().err


def test_an_argument_too_many_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        run_verb(Parser("weigh", "Weighs."), lambda given: 0, ["bag"])
    assert left.value.code == 2 and "too many: bag" in capsys.readouterr().err


def test_subcommands_know_their_own_flags(capsys):
    made = Parser("cache", "Caches.")
    verify = made.add_subparsers(dest="command").add_parser("verify")
    verify.add_argument("--store")
    assert run_verb(made, lambda given: int(given.store), ["verify", "--store", "3"]) == 3
    with pytest.raises(SystemExit) as left:
        run_verb(made, lambda given: 0, ["verify", "--stor", "3"])
    assert left.value.code == 2 and "did you mean --store?" in capsys.readouterr().err


def test_what_stands_behind_two_dashes_is_no_flag():
    assert run_verb(parser(), lambda given: len(given.bags), ["--", "--odd"]) == 1


def test_a_shortened_flag_is_refused():
    with pytest.raises(SystemExit) as left:
        run_verb(parser(), lambda given: 0, ["--see=3"])
    assert left.value.code == 2


def test_a_wrong_value_is_one_line(capsys):
    with pytest.raises(SystemExit) as left:
        run_verb(parser(), lambda given: 0, ["--seed", "many"])
    said = capsys.readouterr().err
    assert left.value.code == 2 and "many" in said and len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "error",
    [ValueError("expected a bag, got a cat"), FileNotFoundError(2, "No such file or directory", "/cat")],
    ids=["value", "os"],
)
def test_an_error_is_a_sentence_without_traceback(error, capsys):
    def work(given):
        raise error

    assert run_verb(parser(), work, []) == 2
    said = capsys.readouterr().err
    assert "cat" in said and "Traceback" not in said and len(said.splitlines()) == 1


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_verb(parser(), lambda given: 1 // 0, [])


def test_the_code_of_the_work_is_the_exit_code():
    assert run_verb(parser(), lambda given: None, []) == 0
    assert run_verb(parser(), lambda given: given.seed, ["--seed", "7"]) == 7


WAITING = """
import sys, threading
from insertion_vla_training.cli.verb import Parser, run_verb
def work(given):
    print("ready", flush=True)
    threading.Event().wait(60)
sys.exit(run_verb(Parser("wait", "Waits."), work, []))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_one_line(number, code):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == code
    assert len(said.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error():
    script = (
        "import sys\nfrom insertion_vla_training.cli.verb import Parser, run_verb\n"
        "def work(given):\n    for i in range(100000): print('a line', i)\n"
        "sys.exit(run_verb(Parser('talk', 'Talks.'), work, []))\n"
    )
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    os.close(read)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (141, "")


def test_progress_off_a_terminal_is_lines(capsys, monkeypatch):
    now_s = iter(x * 0.5 for x in range(1000))
    monkeypatch.setattr("insertion_vla_training.cli.progress.time.monotonic", lambda: next(now_s))
    assert list(progress_over(range(20), "weigh", unit="bag")) == list(range(20))
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 8
    assert lines[-1].startswith("weigh: 20/20 bag")


def test_a_short_step_says_one_line(capsys):
    with Progress("weigh", unit="bag") as progress:
        progress.advance(3)
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == ["weigh: 3 bag"]
