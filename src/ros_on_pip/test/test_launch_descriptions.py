"""Launch descriptions: arguments, includes, scopes, conditions, substitutions, timers, events."""

import logging
import os
import re
from unittest import mock

import launch.logging
import pytest
from launch.actions import (
    AppendEnvironmentVariable,
    DeclareLaunchArgument,
    ForLoop,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueCoroutine,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
    UnregisterEventHandler,
    UnsetEnvironmentVariable,
    UnsetLaunchConfiguration,
)
from launch.conditions import (
    IfCondition,
    InvalidConditionExpressionError,
    LaunchConfigurationEquals,
    LaunchConfigurationNotEquals,
    UnlessCondition,
)
from launch.event_handlers import OnExecutionComplete, OnShutdown
from launch.launch_description_sources import (
    PythonLaunchDescriptionSource,
    XMLLaunchDescriptionSource,
)
from launch.substitutions import (
    AndSubstitution,
    AnonName,
    AnySubstitution,
    Command,
    EnvironmentVariable,
    EqualsSubstitution,
    FileContent,
    FindExecutable,
    IfElseSubstitution,
    LaunchConfiguration,
    LaunchLogDir,
    LocalSubstitution,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
    PathJoinSubstitution,
    PathSubstitution,
    PythonExpression,
    StringJoinSubstitution,
    SubstitutionFailure,
    TextSubstitution,
    ThisLaunchFile,
    ThisLaunchFileDir,
)
from launch_file import run_launch, write_launch_file

from launch import LaunchContext, LaunchDescription, LaunchIntrospector, LaunchService


@pytest.fixture(autouse=True)
def log_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    launch.logging.reset()
    with mock.patch.dict(os.environ):
        yield tmp_path / "log"
    launch.logging.reset()


def messages(output):
    """What LogInfo has logged."""
    return re.findall(r"^\[INFO\] \[launch\.user\]: (.*)$", output, re.M)


@pytest.fixture
def said(capsys):
    """Run entities; (return code, messages of LogInfo, all output)."""

    def run(*entities):
        code, _ = run_launch(*entities)
        output = capsys.readouterr().out
        return code, messages(output), output

    return run


def say(*parts):
    return LogInfo(msg=list(parts))


def test_argument_has_its_default_and_choices(said):
    argument = DeclareLaunchArgument("mode", default_value="a", choices=["a", "b"], description="how")
    assert said(argument, say(LaunchConfiguration("mode")))[:2] == (0, ["a"])
    assert "how" in argument.description and "['a', 'b']" in argument.description
    code, _, output = said(SetLaunchConfiguration("mode", "c"), argument)
    assert code == 1
    assert "Argument 'mode' provided value 'c' is not valid. Valid options are: ['a', 'b']" in output
    with pytest.raises(RuntimeError, match="not in provided choices"):
        DeclareLaunchArgument("mode", default_value="x", choices=["a"])


def test_argument_without_default_is_required(said):
    code, _, output = said(DeclareLaunchArgument("robot", description="which"))
    assert code == 1 and "Required launch argument 'robot' (description: 'which') was not provided" in output


def test_include_passes_arguments_and_knows_its_place(tmp_path, said):
    (tmp_path / "below").mkdir()
    write_launch_file(
        tmp_path / "below" / "inner.launch.py",
        """
        DeclareLaunchArgument("speed"),
        LogInfo(msg=["inner ", LaunchConfiguration("speed"), " ", ThisLaunchFileDir()]),
        """,
    )
    outer = write_launch_file(
        tmp_path / "outer.launch.py",
        """
        IncludeLaunchDescription(
            PathSubstitution(ThisLaunchFileDir()) / "below" / "inner.launch.py",
            launch_arguments={"speed": "3"}.items(),
        ),
        LogInfo(msg=["outer ", ThisLaunchFile()]),
        """,
    )
    code, texts, _ = said(IncludeLaunchDescription(PythonLaunchDescriptionSource(str(outer))))
    assert code == 0
    assert texts == [f"inner 3 {tmp_path / 'below'}", f"outer {outer}"]
    code, _, output = said(IncludeLaunchDescription(str(outer)), say(ThisLaunchFile()))
    assert code == 1 and "outside of a launch file" in output


def test_include_without_a_required_argument_names_it(tmp_path, said):
    inner = write_launch_file(tmp_path / "inner.launch.py", 'DeclareLaunchArgument("speed"),')
    include = IncludeLaunchDescription(str(inner), launch_arguments=[("sped", "3")])
    code, _, output = said(include)
    assert code == 1
    assert "missing required argument 'speed'" in output and "given: [sped]" in output


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("x = 1", "does not contain the required function 'generate_launch_description()'"),
        ("def generate_launch_description(): return [1]", "to return a LaunchDescription, got 'list'"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def (", "SyntaxError"),
    ],
)
def test_bad_launch_file_is_told(text, complaint, tmp_path, said):
    path = tmp_path / "bad.launch.py"
    path.write_text(text)
    code, _, output = said(IncludeLaunchDescription(str(path)))
    assert code == 1 and complaint in output and str(path) in output


def test_other_languages_are_refused(tmp_path, said):
    path = tmp_path / "a.launch.xml"
    path.write_text("<launch/>")
    code, _, output = said(IncludeLaunchDescription(str(path)))
    assert code == 1 and "XML and YAML launch files are not supported" in output
    with pytest.raises(NotImplementedError, match="Python launch file"):
        XMLLaunchDescriptionSource(str(path))


def test_loading_a_launch_file_leaves_nothing_beside_it(tmp_path):
    path = write_launch_file(tmp_path / "a.launch.py", "LogInfo(msg='x'),")
    PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.launch.py"]


def test_group_is_a_scope(said):
    inside = [SetLaunchConfiguration("a", "inner"), SetEnvironmentVariable("LAUNCH_E", "inner")]
    read = say(LaunchConfiguration("a"), " ", EnvironmentVariable("LAUNCH_E", default_value="unset"))
    assert said(SetLaunchConfiguration("a", "outer"), GroupAction([*inside, read]), read)[1] == [
        "inner inner",
        "outer unset",
    ]
    assert said(SetLaunchConfiguration("a", "outer"), GroupAction([*inside, read], scoped=False), read)[1] == [
        "inner inner",
        "inner inner",
    ]


def test_group_that_does_not_forward_sees_only_what_it_is_given(said):
    read = say(LaunchConfiguration("a", default="no a"), " ", LaunchConfiguration("b"))
    group = GroupAction([read], forwarding=False, launch_configurations={"b": LaunchConfiguration("a")})
    assert said(SetLaunchConfiguration("a", "1"), group)[1] == ["no a 1"]


def test_conditions(said):
    def when(condition, text):
        return LogInfo(msg=text, condition=condition)

    entities = [
        SetLaunchConfiguration("on", "True"),
        SetLaunchConfiguration("off", "0"),
        when(IfCondition(LaunchConfiguration("on")), "if on"),
        when(IfCondition(LaunchConfiguration("off")), "if off"),
        when(UnlessCondition(LaunchConfiguration("on")), "unless on"),
        when(UnlessCondition(LaunchConfiguration("off")), "unless off"),
        when(LaunchConfigurationEquals("on", "True"), "equals"),
        when(LaunchConfigurationEquals("none", None), "equals none"),
        when(LaunchConfigurationNotEquals("on", "True"), "not equals"),
        when(IfCondition(AndSubstitution(LaunchConfiguration("on"), "true")), "and"),
    ]
    assert said(*entities)[1] == ["if on", "unless off", "equals", "equals none", "and"]
    code, _, output = said(when(IfCondition("perhaps"), "never"))
    assert code == 1 and "expected one of ['true', '1', 'false', '0'] but got 'perhaps'" in output
    with pytest.raises(InvalidConditionExpressionError):
        IfCondition("").evaluate(LaunchContext())


def test_environment_actions(said):
    entities = [
        SetEnvironmentVariable("LAUNCH_V", "b"),
        AppendEnvironmentVariable("LAUNCH_V", "c", separator="-"),
        AppendEnvironmentVariable("LAUNCH_V", "a", prepend=True, separator="-"),
        say(EnvironmentVariable("LAUNCH_V")),
        UnsetEnvironmentVariable("LAUNCH_V"),
        UnsetEnvironmentVariable("LAUNCH_V"),
        say(EnvironmentVariable("LAUNCH_V", default_value="gone")),
    ]
    assert said(*entities)[1] == ["a-b-c", "gone"]


def test_configurations_are_set_and_unset(said):
    entities = [SetLaunchConfiguration("a", "1"), UnsetLaunchConfiguration("a"), say(LaunchConfiguration("a"))]
    code, _, output = said(*entities)
    assert code == 1 and "launch configuration 'a' does not exist" in output


@pytest.mark.parametrize(
    "substitution, text",
    [
        (PathJoinSubstitution(["a", ["b", TextSubstitution(text="c")], "d"]), "a/bc/d"),
        (PathSubstitution("a") / "b" / ["c", ".yaml"], "a/b/c.yaml"),
        (StringJoinSubstitution(["a", ["b", "c"]], delimiter="-"), "a-bc"),
        (PythonExpression(["'", TextSubstitution(text="x"), "' * 3"]), "xxx"),
        (PythonExpression("ceil(1.2) + math.floor(1.9)"), "3"),
        (PythonExpression("sep.join('ab')", python_modules=["os"]), "a/b"),
        (Command("echo 'a  b'"), "a  b\n"),
        (Command(["sh -c ", "'echo x >&2'"], on_stderr="capture"), "x\n"),
        (FindExecutable(name="sh"), "/sh"),
        (EqualsSubstitution("1", "1.0"), "true"),
        (EqualsSubstitution(True, "true"), "true"),
        (EqualsSubstitution("a", "b"), "false"),
        (NotEqualsSubstitution("a", "b"), "true"),
        (NotSubstitution("false"), "true"),
        (OrSubstitution("false", "1"), "true"),
        (AnySubstitution("false", "no"), "false"),
        (IfElseSubstitution("on", "x", "y"), "x"),
        (IfElseSubstitution("false", if_value="x"), ""),
        (LaunchConfiguration("none", default=["a", 5]), "a5"),
        (LocalSubstitution("thing['k'][0]"), "v"),
    ],
)
def test_substitution(substitution, text):
    context = LaunchContext()
    context.extend_locals({"thing": {"k": ["v"]}})
    assert substitution.perform(context).endswith(text)
    if text != "/sh":
        assert substitution.perform(context) == text
    assert isinstance(substitution.describe(), str)


@pytest.mark.parametrize(
    "substitution, complaint",
    [
        (LaunchConfiguration("none"), "launch configuration 'none' does not exist"),
        (EnvironmentVariable("NO_SUCH_VARIABLE"), "'NO_SUCH_VARIABLE' does not exist"),
        (FindExecutable(name="no_such_executable"), "'no_such_executable' not found"),
        (Command("no_such_executable"), "file not found"),
        (Command("sh -c 'exit 1'"), "executed command failed"),
        (Command("sh -c 'echo oops >&2'"), "oops"),
        (NotSubstitution("perhaps"), "'perhaps'"),
        (FileContent("/no/such/file"), "/no/such/file"),
        (LocalSubstitution("nothing"), "nothing"),
        (ThisLaunchFile(), "outside of a launch file"),
        (ThisLaunchFileDir(), "outside of a launch file"),
    ],
)
def test_substitution_that_fails_says_why(substitution, complaint):
    with pytest.raises(SubstitutionFailure, match=re.escape(complaint)):
        substitution.perform(LaunchContext())


def test_anonymous_name_is_unique_but_stays(tmp_path):
    context = LaunchContext()
    first = AnonName("probe").perform(context)
    assert first == AnonName("probe").perform(context) != AnonName("other").perform(context)
    assert re.fullmatch(r"probe_\w+", first)


def test_file_content_and_log_folder(tmp_path):
    (tmp_path / "text").write_text("words")
    assert FileContent(tmp_path / "text").perform(LaunchContext()) == "words"
    assert LaunchLogDir().perform(LaunchContext()).startswith(str(tmp_path / "log"))


def test_timers_fire_in_their_order(said):
    def later(period, text):
        return TimerAction(period=period, actions=[say(text)])

    assert said(later(0.1, "second"), later("0.02", "first"), say("now"))[1] == ["now", "first", "second"]


def test_shutdown_cancels_timers_that_do_not_insist(said):
    entities = [
        TimerAction(period=60.0, actions=[say("never")]),
        TimerAction(period=0.1, actions=[say("still")], cancel_on_shutdown=False),
        Shutdown(reason="test"),
    ]
    assert said(*entities)[1] == ["still"]


def test_timer_keeps_its_locals(tmp_path, said):
    path = write_launch_file(
        tmp_path / "a.launch.py", "TimerAction(period=0.01, actions=[LogInfo(msg=ThisLaunchFile())]),"
    )
    assert said(IncludeLaunchDescription(str(path)))[1] == [str(path)]


def test_shutdown_tells_its_reason_once(said):
    reasons = []
    handler = OnShutdown(on_shutdown=lambda event, context: reasons.append(event.reason))
    assert said(RegisterEventHandler(handler), Shutdown(reason="enough"))[0] == 0
    assert reasons == ["enough"]


def test_handler_of_execution_complete(said):
    timer = TimerAction(period=0.01, actions=[say("fired")])
    handler = OnExecutionComplete(target_action=timer, on_completion=[say("complete")], handle_once=True)
    assert sorted(said(RegisterEventHandler(handler), timer)[1]) == ["complete", "fired"]
    timer = TimerAction(period=0.01, actions=[say("fired")])
    handler = OnExecutionComplete(target_action=timer, on_completion=[say("complete")])
    assert said(RegisterEventHandler(handler), UnregisterEventHandler(handler), timer)[1] == ["fired"]


def test_functions_coroutines_and_loops(said):
    async def coroutine(context, text):
        context.launch_configurations["done"] = text

    function = OpaqueFunction(function=lambda context, text: [say(text)], args=["function"])
    loop = ForLoop("2", function=lambda i: [say(f"loop {i}")])
    later = TimerAction(period=0.05, actions=[say(LaunchConfiguration("done"))])
    entities = [function, loop, OpaqueCoroutine(coroutine=coroutine, args=["coroutine"]), later]
    assert said(*entities)[1] == ["function", "loop 0", "loop 1", "coroutine"]


def test_coroutine_is_cancelled_at_the_end_and_its_error_counts(said):
    async def endless(context):
        await context.asyncio_loop.create_future()

    async def failing(context):
        raise RuntimeError("coroutine failed")

    assert said(OpaqueCoroutine(coroutine=endless), Shutdown())[0] == 0
    code, _, output = said(OpaqueCoroutine(coroutine=failing))
    assert code == 1 and "coroutine failed" in output


def test_launch_arguments_are_found_in_includes_groups_and_conditions(tmp_path):
    inner = write_launch_file(tmp_path / "inner.launch.py", 'DeclareLaunchArgument("inner"),')
    description = LaunchDescription(
        [
            DeclareLaunchArgument("a", default_value="1"),
            DeclareLaunchArgument("a", default_value="2"),
            GroupAction([DeclareLaunchArgument("grouped")]),
            DeclareLaunchArgument("maybe", condition=IfCondition("true")),
            IncludeLaunchDescription(str(inner)),
            IncludeLaunchDescription(LaunchConfiguration("known_only_later")),
        ]
    )
    arguments = description.get_launch_arguments()
    assert [argument.name for argument in arguments] == ["a", "grouped", "maybe", "inner"]
    assert [argument._conditionally_included for argument in arguments] == [False, False, True, False]
    assert arguments[0].default_value[0].text == "1"


def test_introspection_shows_what_is_in_a_description():
    description = LaunchDescription(
        [
            DeclareLaunchArgument("a", default_value="1", description="words"),
            GroupAction([LogInfo(msg=["x ", LaunchConfiguration("a")])]),
            TimerAction(period=1.0, actions=[LogInfo(msg="later")]),
        ]
    )
    text = LaunchIntrospector().format_launch_description(description)
    for part in ("LaunchDescription(3 entities)", "'a'", "words", "'x ' + LaunchConfig('a')", "'later'"):
        assert part in text
    assert "object at 0x" not in text


def test_events_from_other_threads_and_a_second_run():
    import queue
    import threading

    from launch import Event, EventHandler

    class Ping(Event):
        name = "ping"

    handled = queue.Queue()
    service = LaunchService()
    handler = EventHandler(
        matcher=lambda event: isinstance(event, Ping),
        entities=OpaqueFunction(function=lambda context: handled.put(context.locals.event)),
    )
    service.include_launch_description(LaunchDescription([RegisterEventHandler(handler)]))
    thread = threading.Thread(target=service.run, kwargs={"shutdown_when_idle": False})
    thread.start()
    first = Ping()
    service.emit_event(first)
    assert handled.get(timeout=10) is first
    service.shutdown()
    thread.join(10)
    assert not thread.is_alive()
    service.emit_event(Ping())
    assert service.run() == 0 and handled.qsize() == 1


def test_formats_and_levels_of_the_log(capsys, monkeypatch):
    launch.logging.launch_config.set_screen_format("default_with_timestamp")
    logger = launch.logging.get_logger("probe")
    logger.info("timed")
    assert re.fullmatch(r"\d+\.\d+ \[INFO\] \[probe\]: timed\n", capsys.readouterr().out)
    monkeypatch.setenv("OVERRIDE_LAUNCH_SCREEN_FORMAT", "<{msg}|{name}>")
    launch.logging.reset()
    launch.logging.launch_config.level = logging.WARNING
    logger = launch.logging.get_logger("probe")
    logger.info("hidden")
    logger.warning("own %s", "format")
    assert capsys.readouterr().out == "<own format|probe>\n"
    with pytest.raises(ValueError, match="not a directory"):
        launch.logging.launch_config.log_dir = "/no/such/folder"
