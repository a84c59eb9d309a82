"""Instructions to train language grounding with: sentences that name one trocar, and sentences that name none."""

from __future__ import annotations

import numpy as np
from insertion_vla_sim.scene import COLOURS

NAMING = (
    "{}",
    "the {} one",
    "the {} trocar",
    "{} trocar",
    "the {} tube",
    "into the {} trocar",
    "insert the needle into the {} trocar",
    "Insert the needle into the {} trocar",
    "insert the needle in the {} tube, please",
    "Insert the needle through the {} trocar into the eye phantom model",
    "guide the needle to the {} port and stop at the membrane",
    "find the {} trocar and go in slowly",
    "target: {}",
    "touch the membrane behind the {} mouth",
)
# Never a trocar's colour here; the random words stand for everything else that people may say.
OTHERS = (
    *("yellow", "purple", "cyan", "grey", "black", "white", "orange", "pink", "brown", "violet", "turquoise"),
    *("left", "right", "first", "second", "last", "small", "shiny", "other", "wrong"),
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
RANDOM_WORD_SHARE, EXTRA_WORD_SHARE, TWO_COLOURS_SHARE, NO_COLOUR_SHARE = 0.5, 0.3, 0.2, 0.2


def naming(colour: str, rng: np.random.Generator) -> str:
    """A sentence that names one of COLOURS, sometimes among words that do not matter."""
    sentence = str(rng.choice(NAMING)).format(colour)
    if rng.random() < EXTRA_WORD_SHARE:
        words = sentence.split()
        words.insert(int(rng.integers(len(words) + 1)), _other(rng))
        sentence = " ".join(words)
    return sentence


def naming_none(rng: np.random.Generator) -> str:
    """A sentence that does not say which trocar: another colour, no colour, or two of them."""
    kind = rng.random()
    if kind < TWO_COLOURS_SHARE:
        first, second = rng.permutation(COLOURS)[:2]
        return naming(f"{first} or the {second}", rng)
    if kind < TWO_COLOURS_SHARE + NO_COLOUR_SHARE:
        return " ".join(str(rng.choice(NAMING)).format("").split())
    return naming(_other(rng), rng)


def _other(rng: np.random.Generator) -> str:
    if rng.random() >= RANDOM_WORD_SHARE:
        return str(rng.choice(OTHERS))
    while True:
        word = "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=rng.integers(2, 9)))
        if word not in COLOURS:
            return word
