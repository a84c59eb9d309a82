"""The recorder as a process among the tools of a lab: killed, interrupted, on a full disk, operated by keys."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ros_graph import open_graph  # isort: skip  (sets the environment before rclpy is imported)
import rosbag2_py
from emulator import environment
from insertion_vla.record_leftovers import list_leftovers
from insertion_vla_core.recording_index import read_index
from record_rig import SENTENCE, Lab, bag, contract_text

from insertion_vla_interfaces.msg import EpisodeStatus

DOMAIN = 61
RECORDER = [sys.executable, "-m", "insertion_vla.nodes.recorder"]
KEYS = [sys.executable, "-m", "insertion_vla.record_keys"]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_graph(DOMAIN) as graph:
        lab = Lab(graph)
        yield lab
        lab.close()


class Process:
    """A recorder process in the lab's namespace."""

    def __init__(self, lab: Lab, folder: Path, *parameters: str, wrapper: tuple[str, ...] = ()) -> None:
        self.lab, self.folder = lab, folder
        contract = folder.parent / "contract.yaml"
        contract.write_text(contract_text())
        given = [f"folder:={folder}", f"contract_file:={contract}", "min_free_gb:=0.05", *parameters]
        command = [*wrapper, *RECORDER, "--ros-args", "-r", f"__ns:={lab.graph.namespace}"]
        for parameter in given:
            command += ["-p", parameter]
        self.log = (folder.parent / "recorder.log").open("w+")
        self.process = subprocess.Popen(command, env=environment(DOMAIN), stdout=self.log, stderr=self.log)

    def record(self, messages: int) -> str:
        """Starts an episode and waits until it has so many messages; the folder of its bag."""
        self.lab.status.wait(lambda m: "nothing yet" not in m.reason, 30.0, start=len(self.lab.status.messages))
        while not (answer := self.lab.start(instruction=SENTENCE)).success:
            assert self.process.poll() is None, self.output()
        self.lab.recorded(messages)
        return answer.path

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20.0)

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10.0)
        self.log.close()


@pytest.fixture
def recorder(lab: Lab, tmp_path: Path) -> Iterator[Process]:
    process = Process(lab, tmp_path / "bags")
    yield process
    process.close()


def test_after_sigkill_the_episode_is_named_recovered_and_listed(lab, recorder, tmp_path):
    path = recorder.record(300)
    assert lab.label(outcome="failure", notes="slipped").success
    recorder.end(signal.SIGKILL)
    assert not (Path(path) / "metadata.yaml").exists()
    second = Process(lab, tmp_path / "bags")
    try:
        lab.status.wait(lambda m: m.state == EpisodeStatus.IDLE, 30.0, start=len(lab.status.messages))
        assert f"recover {path}" in second.output() and read_index(tmp_path / "bags") == []
    finally:
        second.close()
    recover = ["ros2", "run", "insertion_vla_training", "recover", path]
    done = subprocess.run(recover, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    metadata, messages = bag(path)
    assert (metadata.instruction, metadata.outcome, metadata.notes) == (SENTENCE, "failure", "slipped")
    assert metadata.contract == contract_text()
    assert len(messages[f"{lab.graph.namespace}/joint_states"]) > 20
    assert list_leftovers(tmp_path / "bags") == []
    (entry,) = read_index(tmp_path / "bags")
    assert entry.outcome == "failure" and entry.messages == sum(map(len, messages.values()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_closes_the_bag_and_ends_in_peace(recorder, tmp_path, number):
    path = recorder.record(100)
    assert recorder.end(number) == 0
    assert "Traceback" not in recorder.output()
    metadata, messages = bag(path)
    assert not metadata.bad, metadata.reasons
    assert messages and read_index(tmp_path / "bags")[0].name == metadata.name


def can_mount() -> bool:
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


def mounted(process: Process, path: str) -> Path:
    """A path on the recorder's own small disk, as seen from here."""
    return Path(f"/proc/{process.process.pid}/root{path}")


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces, for a small disk of its own")
def test_on_a_full_disk_the_bag_is_closed_and_can_be_read(lab, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size=64m tmpfs "{folder}" && exec "$@"'
    process = Process(lab, folder, "min_free_gb:=0.05", wrapper=("unshare", "-rm", "bash", "-c", mount, "bash"))
    try:
        path = process.record(100)
        # Somebody else fills the disk at once, faster than any floor can see.
        filler = mounted(process, str(folder)) / "filler"
        with filler.open("wb") as stream, pytest.raises(OSError, match="No space left"):
            while True:
                stream.write(bytes(1 << 20))
                stream.flush()
        told = lab.status.wait(lambda m: m.state == EpisodeStatus.REFUSED, 20.0, start=len(lab.status.messages))
        assert "free some space" in told.reason
        seen = mounted(process, path)
        metadata, messages = bag(seen)
        assert metadata.bad and "ended early" in metadata.reasons[0]
        assert len(messages[f"{lab.graph.namespace}/joint_states"]) > 5
        assert rosbag2_py.Info().read_metadata(str(seen), "mcap").message_count > 50
        assert not lab.start().success
        filler.unlink()
        assert process.record(50) != path
    finally:
        process.close()


class Terminal:
    """The keyboard tool in a terminal of its own."""

    def __init__(self, lab: Lab) -> None:
        self._master, slave = pty.openpty()
        command = [*KEYS, "--ros-args", "-r", f"__ns:={lab.graph.namespace}"]
        self.process = subprocess.Popen(command, env=environment(DOMAIN), stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.shown = ""

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def wait(self, word: str, timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while word not in self.shown:
            assert time.monotonic() < deadline_s, self.shown
            if select.select([self._master], [], [], 0.2)[0]:
                self.shown += os.read(self._master, 4096).decode()
        self.shown = self.shown.split(word, 1)[1]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10.0)
        os.close(self._master)


def test_episodes_by_keys(lab, recorder, tmp_path):
    lab.status.wait(lambda m: m.state == EpisodeStatus.IDLE, 30.0)
    terminal = Terminal(lab)
    try:
        terminal.wait("s start")
        terminal.press("e")
        terminal.wait("refused: nothing is being recorded")
        terminal.press("x")
        terminal.wait("'x' is no key")
        terminal.press("s")
        terminal.wait("recording episode_")
        lab.recorded(100)
        terminal.press("y")
        terminal.wait("is a success")
        terminal.press("e")
        terminal.wait("episode_")
        terminal.press("s")
        terminal.wait("recording episode_")
        terminal.press("d")
        terminal.wait("discarded episode_")
        terminal.press("q")
        assert terminal.process.wait(10.0) == 0
    finally:
        terminal.close()
    assert [entry.outcome for entry in read_index(tmp_path / "bags")] == ["success"]
