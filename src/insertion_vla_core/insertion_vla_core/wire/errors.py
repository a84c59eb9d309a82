"""The error that all codecs raise for bytes that are not what they should be."""


class WireError(ValueError):
    """A message is malformed; the sentence says what was expected and what came."""
