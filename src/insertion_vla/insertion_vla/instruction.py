"""Is an instruction one that can be carried out? It is refused in a sentence before anything moves."""

import re
from collections.abc import Sequence

MAX_LENGTH = 256


class Refused(Exception):
    """A goal was refused; the message is a sentence for the person who asked."""


def checked_instruction(instruction: str, targets: Sequence[str]) -> str:
    """The instruction with single spaces; raises Refused unless it names exactly one of the targets, if any."""
    instruction = " ".join(instruction.split())
    if not instruction:
        example = f"insert the needle into the {(targets or ('green',))[0]} trocar"
        raise Refused(f"expected an instruction, got an empty one: send for example '{example}'")
    if len(instruction) > MAX_LENGTH or not instruction.isprintable():
        raise Refused(
            f"expected one printable sentence of at most {MAX_LENGTH} characters, got {len(instruction)}: shorten it"
        )
    words = set(re.findall(r"\w+", instruction.lower()))
    named = [target for target in targets if target in words]
    if targets and len(named) != 1:
        raise Refused(
            f"expected an instruction that names exactly one of {', '.join(targets)}, got '{instruction}': "
            "name one target"
        )
    return instruction
