"""Faults are refused by name when they or their parameters are unknown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_sim.emulators.faults import FAULTS, FaultError, check


def test_defaults_are_filled_in_and_legal():
    for name in FAULTS:
        assert check(name, {}) == check(name, check(name, {}))


def test_an_unknown_fault_is_named_with_the_nearest():
    with pytest.raises(FaultError, match="unknown fault 'force_silnt', did you mean force_silent"):
        check("force_silnt", {})


def test_an_unknown_parameter_is_named_with_the_known_ones():
    with pytest.raises(FaultError, match="force_loss has no parameter 'rate'; its parameters: fraction"):
        check("force_loss", {"rate": 0.2})


@pytest.mark.parametrize("value", [1.1, -0.1, math.nan, math.inf, "half", None, True, [0.1]])
def test_a_fraction_out_of_bounds_is_refused(value):
    with pytest.raises(FaultError, match="fraction must be"):
        check("force_loss", {"fraction": value})


def test_a_view_that_does_not_exist_is_refused():
    with pytest.raises(FaultError, match="view must be one of all, front, side, hand, got 'top'"):
        check("camera_kill", {"view": "top"})


@given(st.one_of(st.none(), st.text(), st.integers()), st.dictionaries(st.text(), st.one_of(st.none(), st.floats())))
def test_nothing_else_than_the_fault_error_is_raised(name, given_parameters):
    try:
        parameters = check(name, given_parameters)
    except FaultError:
        return
    assert parameters.keys() == FAULTS[name].parameters.keys()
