"""The error of everything that reads or writes bags."""


class BagError(ValueError):
    """A bag is not as expected; the text says what was expected, what came and what to do."""
