"""Substitutions in text. XML and YAML launch files are not supported: their parser says so."""

from .expose import expose_action, expose_substitution
from .parser import Entity, InvalidFrontendLaunchFileError, Parser

__all__ = ["Entity", "InvalidFrontendLaunchFileError", "Parser", "expose_action", "expose_substitution"]
