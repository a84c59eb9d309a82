"""Show what is in a bag."""

from argparse import ArgumentParser, Namespace

from rosbag2_py import Info

from ros2cli.errors import CommandError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("bag_path", help="folder of the bag, or one .mcap file")
    parser.add_argument("-s", "--storage", choices=["mcap"], default="mcap", help="storage format")
    parser.add_argument("-t", "--topic-name", action="store_true", help="print only the names of its topics")


def main(args: Namespace) -> int:
    try:
        metadata = Info().read_metadata(args.bag_path, args.storage)
    except RuntimeError as error:
        raise CommandError(str(error)) from error
    if args.topic_name:
        for topic in metadata.topics_with_message_count:
            print(topic.topic_metadata.name)
    else:
        print(metadata)
    return 0
