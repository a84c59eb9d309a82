"""Bags that were cut off anywhere, or damaged, are made whole from what is whole in them."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import bag_rig as rig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_training.bags import BagError, BagReader, recover
from insertion_vla_training.bags.mcap_chunks import read_place
from insertion_vla_training.bags.mcap_records import scan
from mcap.writer import CompressionType, Writer

from insertion_vla_training import recover as verb

VARIANTS = {
    "zstd": (CompressionType.ZSTD, True),
    "lz4": (CompressionType.LZ4, True),
    "none": (CompressionType.NONE, True),
    "loose": (CompressionType.NONE, False),
}


def rewrite(path: Path, variant: str, chunk_bytes: int = 8000) -> list[tuple[int, bytes]]:
    """The same messages in one MCAP file of another make, as a recorder may write it; returns them."""
    compression, chunked = VARIANTS[variant]
    whole = BagReader(path)
    messages = list(whole.messages())
    custom = whole.custom_data
    file = next(path.glob("*.mcap"))
    schemas = scan(file).content.schemas
    with file.open("wb") as stream:
        writer = Writer(stream, chunk_size=chunk_bytes, compression=compression, use_chunking=chunked)
        writer.start(profile="ros2", library="test")
        numbers = {s.name: writer.register_schema(s.name, s.encoding, s.text.encode()) for s in schemas.values()}
        channels = {t.name: writer.register_channel(t.name, "cdr", numbers[t.type]) for t in whole.topics().values()}
        for m in messages:
            writer.add_message(channels[m.topic], m.receive_ns, m.data, m.publish_ns)
        writer.finish()
    assert BagReader(path).custom_data == custom
    return [(m.receive_ns, m.data) for m in messages]


@pytest.fixture(scope="module", params=VARIANTS)
def recording(request, tmp_path_factory):
    """(bag folder, its MCAP bytes, its messages, [(end of chunk in the file, messages up to it)])."""
    folder = rig.write_bag(
        tmp_path_factory.mktemp("recording") / "bag", rig.graph_messages(0.4, bins=32, image_bytes=2000)
    )
    messages = rewrite(folder, request.param)
    file = next(folder.glob("*.mcap"))
    found, count, ends = scan(file), 0, []
    with file.open("rb") as stream:
        for place in found.places:
            count += len(read_place(stream, place, found.content))
            ends.append((place.offset + place.size, count))
    assert len(ends) >= 5 or request.param == "loose"
    return folder, file.read_bytes(), messages, ends


def damaged_copy(folder: Path, content: bytes, metadata: bool) -> Path:
    """A new bag folder with other bytes in its MCAP file."""
    made = folder.parent / "damaged" / folder.name
    shutil.rmtree(made.parent, ignore_errors=True)
    made.mkdir(parents=True)
    (made / "bag_0.mcap").write_bytes(content)
    if metadata:
        shutil.copy(folder / "metadata.yaml", made)
    return made


def contents(bag: Path) -> list[tuple[int, bytes]]:
    reader = BagReader(bag)
    for message in reader.messages():
        reader.decode(message)
    return [(m.receive_ns, m.data) for m in reader.messages()]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_cut_anywhere_saves_every_whole_chunk(recording, data):
    folder, content, messages, ends = recording
    near = [end + shift for end, _ in ends for shift in (-1, 0, 1, 9, 40)] + [8, 9, 17, len(content) - 1]
    cut = data.draw(
        st.sampled_from(sorted({x for x in near if 0 <= x < len(content)})) | st.integers(0, len(content) - 1)
    )
    bag = damaged_copy(folder, content[:cut], metadata=data.draw(st.booleans()))
    whole = max((count for end, count in ends if end <= cut), default=0)
    with pytest.raises(BagError, match="recover"):
        BagReader(bag)
    try:
        result = recover(bag)
    except BagError:
        assert whole == 0
        assert next(bag.glob("*.mcap")).read_bytes() == content[:cut]
        return
    saved = contents(bag)
    assert len(saved) >= whole
    assert saved == messages[: len(saved)]
    assert result.metadata.count == len(saved)
    # Now it is a bag like any other, and there is nothing left to do.
    assert recover(bag).metadata_written is False


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_a_bag_error_and_costs_its_chunk_only(recording, data):
    folder, content, messages, ends = recording
    at = data.draw(st.integers(0, len(content) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=40))
    broken = content[:at] + junk + content[at + len(junk) :]
    bag = damaged_copy(folder, broken, metadata=True)
    with suppress(BagError):
        assert all(isinstance(message.data, bytes) for message in BagReader(bag).messages())
    try:
        recover(bag)
    except BagError:
        return
    before = max((count for end, count in ends if end <= at), default=0)
    reader = BagReader(bag)
    saved = [(m.receive_ns, m.data) for m in reader.messages()]
    if len(ends) > 1:  # chunks have a CRC; messages outside chunks have none
        assert set(saved) <= set(messages)
        assert saved[:before] == messages[:before]


@pytest.mark.parametrize("variant", ["zstd", "lz4", "none"])
def test_messages_in_front_of_the_cut_in_a_torn_chunk_are_saved(tmp_path, variant):
    folder = rig.write_bag(tmp_path / "bag", rig.graph_messages(3.0, bins=512))
    messages = rewrite(folder, variant, chunk_bytes=1_000_000)
    file = next(folder.glob("*.mcap"))
    place = scan(file).places[1]
    with file.open("r+b") as stream:
        stream.truncate(place.offset + place.size * 9 // 10)
    result = recover(folder)
    first = result.metadata.count - result.files[0].from_torn_chunk
    assert result.files[0].from_torn_chunk > 0.5 * first
    assert contents(folder) == messages[: result.metadata.count]


def test_a_damaged_chunk_in_the_middle_costs_itself_only(tmp_path):
    folder = rig.write_bag(tmp_path / "bag", rig.graph_messages(0.4, bins=32))
    messages = rewrite(folder, "zstd")
    file = next(folder.glob("*.mcap"))
    content = bytearray(file.read_bytes())
    place = scan(file).places[2]
    content[place.offset + place.size // 2] ^= 0xFF
    file.write_bytes(content)
    result = recover(folder)
    assert result.files[0].lost_chunks == 1 and result.files[0].lost_bytes == place.size
    saved = contents(folder)
    assert saved == [m for m in messages if m in set(saved)] and 0 < len(messages) - len(saved) < 100
    assert (folder / "bag_0.mcap.damaged").read_bytes() == bytes(content)


def test_a_whole_bag_is_left_alone(tmp_path, capsys):
    folder = rig.write_bag(tmp_path / "bag", rig.graph_messages(0.2))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert verb.main([str(folder)]) == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    assert "whole, 54 messages of 5 topics" in capsys.readouterr().out


def test_lost_metadata_are_made_anew_with_the_episode(tmp_path, capsys):
    folder = rig.write_bag(tmp_path / "bag", rig.graph_messages(0.2), notes="kept")
    before = (folder / "metadata.yaml").read_bytes()
    (folder / "metadata.yaml").unlink()
    assert verb.main([str(folder)]) == 0
    assert (folder / "metadata.yaml").read_bytes() == before
    assert BagReader(folder).episode().notes == "kept"
    assert "metadata.yaml made anew" in capsys.readouterr().out


def test_the_verb_saves_the_rest_of_the_batch(tmp_path, capsys):
    good = rig.write_bag(tmp_path / "good", rig.graph_messages(0.2))
    cut = rig.write_bag(tmp_path / "cut", rig.graph_messages(3.0, bins=512))
    with next(cut.glob("*.mcap")).open("r+b") as stream:
        stream.truncate(1_000_000)
    (cut / "metadata.yaml").unlink()
    (tmp_path / "empty").mkdir()
    lost = tmp_path / "lost"
    lost.mkdir()
    (lost / "lost_0.mcap").write_bytes(b"")
    assert verb.main([str(tmp_path / "empty"), str(lost), str(cut), str(good), str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr()
    assert "found none: it is no bag that can be recovered" in said.err
    assert "expected something to save" in said.err and "the file is empty" in said.err
    assert "nowhere is not there" in said.err
    assert re.search(
        r"cut: saved \d+ messages of 5 topics over \d\.\d s\n  .*: lost \d+ bytes, \d+ messages saved", said.out
    )
    assert "the damaged file is kept as" in said.out and "what the episode says of itself is lost" in said.out
    assert "good: whole" in said.out
    assert contents(cut)


def test_a_bag_that_is_still_recorded_is_refused(tmp_path):
    folder = rig.write_bag(tmp_path / "bag", rig.graph_messages(0.2))
    file = next(folder.glob("*.mcap"))
    os.truncate(file, file.stat().st_size - 5)
    with file.open("ab"), pytest.raises(BagError, match=f"process {os.getpid()} still writes"):
        recover(folder)
    assert recover(folder).metadata_written


def test_a_full_disk_leaves_the_damaged_bag_as_it_was(tmp_path, monkeypatch):
    folder = rig.write_bag(tmp_path / "bag", rig.graph_messages(2.0, bins=512))
    file = next(folder.glob("*.mcap"))
    os.truncate(file, file.stat().st_size - 5)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from insertion_vla_training.recover import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_one_lost_file_of_several_does_not_cost_the_others(tmp_path):
    folder = rig.write_bag(tmp_path / "bag", rig.graph_messages(0.3))
    count = len(contents(folder))
    (folder / "bag_1.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    result = recover(folder)
    assert result.metadata.count == count and [file.name for file in result.metadata.files] == ["bag_0.mcap"]
    assert (folder / "bag_1.mcap.damaged").exists() and not (folder / "bag_1.mcap").exists()
    assert len(contents(folder)) == count
