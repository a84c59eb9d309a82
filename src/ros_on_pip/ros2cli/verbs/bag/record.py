"""Record topics into an MCAP bag until Ctrl-C."""

import time
from argparse import ArgumentParser, Namespace
from datetime import timedelta

from rosbag2_py import Recorder, RecordOptions, StorageOptions

from ros2cli.errors import CommandError
from ros2cli.verbs.bag._common import add_common_arguments, read_qos_overrides, stopped_by_signals

PRESETS = ("none", "fastwrite", "zstd_fast", "zstd_small")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("topic", nargs="*", help="topics to record")
    parser.add_argument("--topics", nargs="+", default=[], metavar="TOPIC", help="topics to record")
    parser.add_argument("--topic-types", nargs="+", default=[], metavar="TYPE", help="record topics of these types")
    parser.add_argument("-a", "--all", action="store_true", help="record all topics")
    parser.add_argument("--all-topics", action="store_true", help="record all topics")
    parser.add_argument("-e", "--regex", default="", help="record topics that match")
    parser.add_argument("-x", "--exclude", "--exclude-regex", dest="exclude", default="", metavar="REGEX",
                        help="do not record topics that match")  # fmt: skip
    parser.add_argument("--exclude-topics", nargs="+", default=[], metavar="TOPIC", help="do not record these")
    parser.add_argument(
        "--exclude-topic-types", nargs="+", default=[], metavar="TYPE", help="nor topics of these types"
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", help="folder of the bag (rosbag2_<date>)")
    parser.add_argument("-d", "--max-bag-duration", type=int, default=0, metavar="S", help="new file after this time")
    parser.add_argument("-b", "--max-bag-size", type=int, default=0, metavar="BYTES", help="new file beyond this size")
    parser.add_argument(
        "--max-cache-size", type=int, default=0, metavar="BYTES", help="memory for a slow disk (100 MiB)"
    )
    parser.add_argument("--storage-preset-profile", choices=PRESETS, default="none")
    parser.add_argument("--compression-mode", choices=["none", "file", "message"], default="none",
                        help="file and message both compress the chunks of the MCAP file")  # fmt: skip
    parser.add_argument("--compression-format", choices=["zstd"], default="")
    parser.add_argument("--compression", action="store_true", help="short for --storage-preset-profile zstd_fast")
    parser.add_argument("--include-hidden-topics", action="store_true")
    parser.add_argument("--include-unpublished-topics", action="store_true")
    parser.add_argument("--no-discovery", action="store_true", help="only topics that are there at the start")
    parser.add_argument("-p", "--polling-interval", type=int, default=100, metavar="MS", help="look for topics (100)")
    parser.add_argument("--custom-data", nargs="+", default=[], metavar="KEY=VALUE", help="stored in the metadata")
    parser.add_argument("--node-name", default="rosbag2_recorder")
    add_common_arguments(parser)


def main(args: Namespace) -> int:
    options = RecordOptions(
        all_topics=args.all or args.all_topics,
        topics=[*args.topic, *args.topics],
        topic_types=args.topic_types,
        regex=args.regex,
        exclude_regex=args.exclude,
        exclude_topics=args.exclude_topics,
        exclude_topic_types=args.exclude_topic_types,
        include_hidden_topics=args.include_hidden_topics,
        include_unpublished_topics=args.include_unpublished_topics,
        is_discovery_disabled=args.no_discovery,
        topic_polling_interval=timedelta(milliseconds=args.polling_interval),
        compression_mode=args.compression_mode,
        compression_format=args.compression_format,
        topic_qos_profile_overrides=read_qos_overrides(args.qos_profile_overrides_path),
    )
    preset = args.storage_preset_profile
    storage = StorageOptions(
        uri=args.output or time.strftime("rosbag2_%Y_%m_%d-%H_%M_%S"),
        storage_id=args.storage,
        max_bagfile_size=args.max_bag_size,
        max_bagfile_duration=args.max_bag_duration,
        max_cache_size=args.max_cache_size,
        storage_preset_profile="zstd_fast" if args.compression and preset == "none" else preset,
        custom_data=custom_data(args.custom_data),
    )
    recorder = Recorder(args.log_level)
    with stopped_by_signals(Recorder.cancel):
        try:
            recorder.record(storage, options, args.node_name)
        except RuntimeError as error:
            raise CommandError(str(error)) from error
    return 0


def custom_data(pairs: list[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise CommandError(f"expected KEY=VALUE for --custom-data, got '{wrong[0]}'")
    return dict(pair.split("=", 1) for pair in pairs)
