"""Sentences for `tiny_vl`: words become rows of a hashed table, so that no vocabulary travels with the weights."""

import re
import zlib

import torch
from torch import nn

BUCKETS = 4096
MAX_WORDS = 64


def word_ids(sentence: str) -> list[int]:
    """Rows of the words in the hashed table; the same on every machine, and case and punctuation do not matter."""
    words = re.findall(r"[a-z0-9]+", sentence.lower())[:MAX_WORDS]
    return [zlib.crc32(word.encode()) % BUCKETS for word in words]


class SentenceEmbedding(nn.Module):
    """Sum of the words' rows through a small MLP: words that carry no meaning learn to add nothing.

    Args:
        size: of the embedding.
        word_size: of a word's row.
    """

    def __init__(self, size: int, word_size: int = 32) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(BUCKETS, word_size, mode="sum")
        nn.init.normal_(self.words.weight, std=0.1)
        self.mlp = nn.Sequential(nn.Linear(word_size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

    def forward(self, sentences: list[str]) -> torch.Tensor:
        """(sentences, size) embeddings."""
        ids = [word_ids(sentence) for sentence in sentences]
        starts = [0]
        for row in ids[:-1]:
            starts.append(starts[-1] + len(row))
        device = self.words.weight.device
        flat = torch.tensor([i for row in ids for i in row], dtype=torch.long, device=device)
        embedded: torch.Tensor = self.mlp(self.words(flat, torch.tensor(starts, device=device)))
        return embedded
