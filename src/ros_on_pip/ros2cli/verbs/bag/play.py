"""Publish the messages of a bag at the pace of their recording."""

from argparse import ArgumentParser, Namespace

from rosbag2_py import Player, PlayOptions, StorageOptions

from ros2cli.errors import CommandError
from ros2cli.verbs.bag._common import add_common_arguments, read_qos_overrides, stopped_by_signals

DEFAULT_CLOCK_HZ = 40.0


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("bag_path", help="folder of the bag, or one .mcap file")
    parser.add_argument("-r", "--rate", type=float, default=1.0, help="factor on the speed (1)")
    parser.add_argument("-l", "--loop", action="store_true", help="begin again at the end")
    parser.add_argument("--start-offset", type=float, default=0.0, metavar="S", help="begin this far into the bag")
    parser.add_argument("--playback-duration", type=float, default=-1.0, metavar="S", help="end after this much of it")
    parser.add_argument("-d", "--delay", type=float, default=0.0, metavar="S", help="wait before playing")
    parser.add_argument("--topics", nargs="+", default=[], metavar="TOPIC", help="play only these")
    parser.add_argument("-e", "--regex", default="", help="play only topics that match")
    parser.add_argument("-x", "--exclude-regex", default="", help="do not play topics that match")
    parser.add_argument("--exclude-topics", nargs="+", default=[], metavar="TOPIC", help="do not play these")
    parser.add_argument("-m", "--remap", nargs="+", default=[], metavar="OLD:=NEW", help="play under other names")
    parser.add_argument("--clock", type=float, nargs="?", const=DEFAULT_CLOCK_HZ, default=0.0, metavar="HZ",
                        help="publish the bag's time on /clock (40 Hz)")  # fmt: skip
    parser.add_argument("--read-ahead-queue-size", type=int, default=1000, metavar="N")
    add_common_arguments(parser)


def main(args: Namespace) -> int:
    wrong = [rule for rule in args.remap if ":=" not in rule]
    if wrong:
        raise CommandError(f"expected OLD:=NEW for --remap, got '{wrong[0]}'")
    options = PlayOptions(
        rate=args.rate,
        loop=args.loop,
        start_offset=args.start_offset,
        playback_duration=args.playback_duration,
        delay=args.delay,
        topics_to_filter=args.topics,
        regex_to_filter=args.regex,
        exclude_regex_to_filter=args.exclude_regex,
        exclude_topics_to_filter=args.exclude_topics,
        topic_remapping_options=args.remap,
        clock_publish_frequency=args.clock,
        read_ahead_queue_size=args.read_ahead_queue_size,
        topic_qos_profile_overrides=read_qos_overrides(args.qos_profile_overrides_path),
    )
    player = Player(args.log_level)
    with stopped_by_signals(Player.cancel):
        try:
            player.play(StorageOptions(uri=args.bag_path, storage_id=args.storage), options)
        except RuntimeError as error:
            raise CommandError(str(error)) from error
    return 0
