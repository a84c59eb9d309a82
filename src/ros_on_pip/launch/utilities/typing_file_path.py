"""Paths as arguments."""

import os

FilePath = str | os.PathLike
