"""A plain window that shows images, where there is a display."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Window:
    """A window of one image.

    Attributes:
        open: False once the user closed it.
    """

    def __init__(self, title: str) -> None:
        """Open it.

        Raises:
            ValueError: there is no display, or no toolkit to use it.
        """
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise ValueError("--viewer needs a display, and DISPLAY is not set; use --video FILE.gif instead")
        try:
            import tkinter

            from PIL import ImageTk

            self._root = tkinter.Tk()
        except Exception as error:  # a missing module, or a display that refuses: they all mean the same here
            raise ValueError(f"--viewer needs Tk and a working display ({error}); use --video instead") from error
        self.open = True
        self._photo = ImageTk.PhotoImage
        self._root.title(title)
        self._label = tkinter.Label(self._root)
        self._label.pack()
        self._root.protocol("WM_DELETE_WINDOW", self.close)

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show an RGB image (H, W, 3)."""
        if self.open:
            picture = self._photo(Image.fromarray(image))
            self._label.configure(image=picture)
            self._label.image = picture  # type: ignore[attr-defined]  # Tk keeps no reference of its own
            self._root.update()

    def close(self) -> None:
        """Close it."""
        if self.open:
            self.open = False
            self._root.destroy()
