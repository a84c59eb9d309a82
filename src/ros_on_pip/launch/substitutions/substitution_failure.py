"""The error of a substitution that cannot be performed."""


class SubstitutionFailure(RuntimeError):
    """A substitution could not be turned into text."""
