"""Text to typed values, and `$(...)` in text to substitutions."""

from typing import List, Union  # noqa: UP035  (the way types are given)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launch.frontend import expose_substitution
from launch.frontend.parse_substitution import parse_if_substitutions, parse_substitution
from launch.substitutions import LaunchConfiguration, PythonExpression, TextSubstitution
from launch.utilities import ensure_argument_type, normalize_to_list_of_substitutions
from launch.utilities.type_utils import (
    coerce_list,
    coerce_to_type,
    extract_type,
    get_typed_value,
    is_instance_of,
    is_substitution,
    normalize_typed_substitution,
    perform_typed_substitution,
)

from launch import LaunchContext, Substitution

Ints, Floats, Texts = List[int], List[float], List[str]  # noqa: UP006


class Echo(Substitution):
    """Performs to its argument, between brackets."""

    def __init__(self, text):
        self.text = text

    def perform(self, context):
        return "<" + "".join(part.perform(context) for part in self.text) + ">"


@expose_substitution("echo")
def parse_echo(data):
    (text,) = data
    return Echo, {"text": text}


def performed(text):
    return "".join(part.perform(LaunchContext()) for part in parse_substitution(text))


@pytest.mark.parametrize(
    "text, result",
    [
        ("", ""),
        ("plain 'text' \"as\" it $is (really)", "plain 'text' \"as\" it $is (really)"),
        ("a $(echo b) c$(echo d)", "a <b> c<d>"),
        ("$(echo $(echo a)b$(echo c))", "<<a>b<c>>"),
        ("$(echo 'a b')", "<a b>"),
        ("$(echo \"a 'b' c\")", "<a 'b' c>"),
        ("$(echo 'a $(echo b) c')", "<a <b> c>"),
        (r"$(echo a\ b\)\\)", "<a b)\\>"),
        (r"$(echo \"a b\")", "<a b>"),
        (r"$(echo \"a $(echo \\\"b\\\")\")", '<a <"b">>'),
        ("$(  echo   a  )", "<a>"),
        ("$(eval 'ceil(1.5) + len(\"ab\")')", "4"),
        ("$(if $(equals 1 1.0) yes no)", "yes"),
        ("$(any false $(not false))", "true"),
        ("$(env NO_SUCH_VARIABLE 'the default')", "the default"),
    ],
)
def test_substitutions_in_text(text, result):
    assert performed(text) == result


@pytest.mark.parametrize("text", ["$(echo a", "$(echo 'a)", "$()", "$(echo $(echo a)"])
def test_broken_text_is_refused(text):
    with pytest.raises(ValueError, match="expected text with substitutions"):
        parse_substitution(text)


def test_unknown_substitution_lists_the_known_ones():
    with pytest.raises(RuntimeError, match="Unknown substitution: ech; expected one of .*env.*eval"):
        parse_substitution("$(ech a)")
    with pytest.raises(RuntimeError, match="one parse method"):
        expose_substitution("echo")(lambda data: data)


@given(st.text())
def test_text_without_substitutions_stays(text):
    if "$(" not in text:
        assert performed(text) == text
        assert parse_if_substitutions(text) == text


@given(st.text(alphabet=st.characters(exclude_characters='"\\$', exclude_categories=["Cs"])))
def test_quoted_text_is_one_argument(text):
    assert performed(f'before $(echo "{text}") after') == f"before <{text}> after"


@given(st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)))
def test_values_survive_as_text(value):
    assert coerce_to_type(str(value), type(value)) == value


@given(st.text())
def test_text_asked_for_as_text_stays(text):
    assert coerce_to_type(text, str) == text


@pytest.mark.parametrize(
    "text, data_type, value",
    [
        ("1", None, 1),
        ("'1'", None, "1"),
        ("on", None, True),
        ("[1, 2]", None, [1, 2]),
        ("[a, b]", Texts, ["a", "b"]),
        ("1", float, 1.0),
        ("1e-3", float, 0.001),
        (".5", float, 0.5),
    ],
)
def test_text_to_value(text, data_type, value):
    assert coerce_to_type(text, data_type) == value
    assert type(coerce_to_type(text, data_type)) is type(value)


@pytest.mark.parametrize(
    "text, data_type",
    [
        ("{a: 1}", None),
        ("[1, 2.0]", None),
        ("1.5", int),
        ("x", float),
        ("1", bool),
        ("[1, 2.0]", Floats),
        ("''1''", None),
    ],
)
def test_text_that_is_no_such_value(text, data_type):
    with pytest.raises(ValueError):
        coerce_to_type(text, data_type)


def test_lists_of_texts():
    assert coerce_list(["1", "2"]) == [1, 2]
    assert coerce_list(["1", "a"], can_be_str=True) == [1, "a"]
    assert get_typed_value(["1", "2"], Floats) == [1.0, 2.0]
    with pytest.raises(ValueError):
        coerce_list(["1", "2.0"])
    for wrong in ([1], "a"):
        with pytest.raises(TypeError):
            coerce_list(wrong)
    with pytest.raises(TypeError):
        get_typed_value(["1"], int)


def test_types():
    assert extract_type(int) == (int, False) and extract_type(Ints) == (int, True) == extract_type(list[int])
    for wrong in (bytes, list, List, List[Union[int, str]], None):  # noqa: UP006, UP007
        with pytest.raises(ValueError):
            extract_type(wrong)
    assert is_instance_of(1, int) and not is_instance_of(True, int) and not is_instance_of(1, float)
    assert is_instance_of([1, "a"], Ints, can_be_str=True) and not is_instance_of([1, "a"], Ints)


def test_typed_substitutions():
    context = LaunchContext()
    context.launch_configurations["n"] = "3"
    configuration = LaunchConfiguration("n")
    for given_value, data_type, value in [
        (configuration, int, 3),
        (5, int, 5),
        ("7", int, 7),
        ([configuration, "0"], int, 30),
        ([[configuration], 4], Ints, [3, 4]),
        ([[configuration], "4"], Texts, ["3", "4"]),
        ([TextSubstitution(text="[1, 2]")], Ints, [1, 2]),
    ]:
        assert (
            perform_typed_substitution(context, normalize_typed_substitution(given_value, data_type), data_type)
            == value
        )
    for wrong, data_type in [(1, Ints), (1.0, int), (["a", 2], Ints), (object(), None)]:
        with pytest.raises(TypeError):
            normalize_typed_substitution(wrong, data_type)
    assert is_substitution([configuration, "x"]) and not is_substitution(["x"]) and not is_substitution([])


def test_what_is_text_and_what_is_not(tmp_path):
    assert [part.perform(None) for part in normalize_to_list_of_substitutions(["a", tmp_path])] == ["a", str(tmp_path)]
    for wrong in (5, [5], None):
        with pytest.raises(TypeError):
            normalize_to_list_of_substitutions(wrong)
    with pytest.raises(TypeError, match="'Owner' expected 'argument' to be one of"):
        ensure_argument_type(5, [str, list], "argument", "Owner")


def test_expressions_see_only_the_modules_they_name():
    with pytest.raises(NameError):
        PythonExpression("ceil(1.5)", python_modules=[]).perform(LaunchContext())
    with pytest.raises(NameError):
        PythonExpression("os.sep").perform(LaunchContext())
