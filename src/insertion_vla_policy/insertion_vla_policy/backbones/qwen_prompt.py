"""The text of a prompt as token ids, with one placeholder for every visual token, and where each of them stands."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

PAD = "<|image_pad|>"
IMAGE = f"<|vision_start|>{PAD}<|vision_end|>"


@dataclass(frozen=True, eq=False)
class Prompt:
    """Ids of one sequence.

    Attributes:
        ids: (n,) int64.
        visual: (m,) positions of the visual tokens.
        views: (m,) to which picture each of them belongs.
    """

    ids: NDArray[np.int64]
    visual: NDArray[np.int64]
    views: NDArray[np.int64]


class Prompter:
    """Writes prompts with the model's own tokenizer."""

    def __init__(self, tokenizer: Path, template: str, image_token_id: int) -> None:
        """Raises ValueError if tokenizer.json is damaged or does not know the model's special tokens."""
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"expected a tokenizer in {tokenizer}, got {error}: copy it again") from error
        if self._tokenizer.token_to_id(PAD) != image_token_id:
            raise ValueError(
                f"expected {PAD} to be token {image_token_id} in {tokenizer}, it is "
                f"{self._tokenizer.token_to_id(PAD)}: tokenizer.json and config.json do not belong together"
            )
        self._template, self._pad = template, image_token_id

    def write(self, instruction: str, visual_tokens: list[int]) -> Prompt:
        """The prompt for pictures of so many visual tokens each; ValueError if the instruction is no plain text."""
        if "<|" in instruction or not instruction.strip():
            raise ValueError(f"expected an instruction in words, got {instruction!r}: leave special tokens out")
        text = self._template.replace("{images}", IMAGE * len(visual_tokens)).replace("{instruction}", instruction)
        short = np.array(self._tokenizer.encode(text).ids, np.int64)
        repeats = np.ones(len(short), np.int64)
        repeats[short == self._pad] = visual_tokens
        ids = np.repeat(short, repeats)
        return Prompt(ids, np.flatnonzero(ids == self._pad), np.repeat(np.arange(len(visual_tokens)), visual_tokens))
