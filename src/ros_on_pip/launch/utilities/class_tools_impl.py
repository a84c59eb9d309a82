"""Class tests that work on instances and on classes alike."""

import inspect
from typing import Any


def isclassinstance(obj: object) -> bool:
    """True for an instance of any class, which in Python 3 is everything but a class without one."""
    return hasattr(obj, "__class__")


def is_a(obj: object, entity_type: type) -> bool:
    return isclassinstance(obj) and isinstance(obj, entity_type)


def is_a_subclass(obj: Any, entity_type: type) -> bool:
    """True for an instance of the class or of a subclass, and for such a class itself."""
    if is_a(obj, entity_type):
        return True
    return inspect.isclass(obj) and issubclass(obj, entity_type)
