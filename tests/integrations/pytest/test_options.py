"""Which source of an option wins, and what is said of bad values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_runs import run

from gilknocker._durations import parse_duration
from gilknocker.integrations.pytest.options import METHODS, OPTIONS, SORTS, Option, choose
from gilknocker.integrations.pytest.options import settle as settled

pytest_plugins = ["pytester"]

# Texts, and what they mean.
VALUES: dict[str, st.SearchStrategy[tuple[str, Any]]] = {
    "gilknocker": st.sampled_from([("true", True), ("0", False), ("ON", True), ("no", False)]),
    "gilknocker_sort": st.sampled_from(SORTS).map(lambda word: (word, word)),
    "gilknocker_count": st.integers(0, 10**9).map(lambda n: (str(n), n)),
    "gilknocker_interval_micros": st.integers(1, 10**12).map(lambda n: (str(n), n)),
    "gilknocker_method": st.sampled_from(METHODS).map(lambda word: (word, word)),
    "gilknocker_json": st.text("abc", min_size=1).map(lambda name: (name, name)),
    "gilknocker_limits": st.sampled_from([("off", False), ("on", True), ("0", False)]),
    "gilknocker_stalls": st.integers(10, 3_600_000).map(lambda n: (f"{n} ms", n * 1_000_000)),
}
BAD: dict[str, list[str]] = {
    "gilknocker": ["2", "maybe", " "],
    "gilknocker_sort": ["Held", "wait ", "x"],
    "gilknocker_count": ["-1", "1.5", "1_0", "ten", "1000000001", "9" * 5000],
    "gilknocker_interval_micros": ["0", "-1", "1e3", "\u0661", str(2**63)],
    "gilknocker_method": ["look", "AUTO"],
    "gilknocker_json": [".", "no/such/folder/x.json"],
    "gilknocker_limits": ["none", "2"],
    "gilknocker_stalls": ["200", "9ms", "3601s", "soon", "-1s"],
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


@given(st.data(), st.sampled_from(OPTIONS))
def test_command_line_over_environment_over_ini(data: st.DataObject, option: Option) -> None:
    given_values = data.draw(
        st.fixed_dictionaries(
            {}, optional={source: VALUES[option.name] for source in ("command", "env", "ini")}
        )
    )
    text = {source: value[0] for source, value in given_values.items()}
    chosen = choose(
        option,
        command=text.get("command"),
        environment={option.variable: text["env"]} if "env" in text else {"PYTEST_OTHER": "1"},
        ini=text.get("ini"),
    )
    expected = next(
        (given_values[s][1] for s in ("command", "env", "ini") if s in given_values), option.default
    )
    assert chosen == expected
    assert type(chosen) is type(expected)


@given(st.data(), st.sampled_from(OPTIONS))
def test_a_bad_value_is_told_with_the_name_it_was_given_by(
    data: st.DataObject, option: Option
) -> None:
    bad = data.draw(st.sampled_from(BAD[option.name]))
    source = data.draw(st.sampled_from(["command", "env", "ini"]))
    with pytest.raises(pytest.UsageError) as caught:
        choose(
            option,
            command=bad if source == "command" else None,
            environment={option.variable: bad} if source == "env" else {},
            ini=bad if source == "ini" else None,
        )
    spelling = {"command": option.flag, "env": option.variable, "ini": option.name}[source]
    assert str(caught.value).startswith(spelling)
    assert option.allowed in str(caught.value)
    assert len(str(caught.value)) < 200


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_precedence_in_pytest_itself(pytester: pytest.Pytester, data: st.DataObject) -> None:
    drawn = {
        option.name: data.draw(
            st.fixed_dictionaries(
                {}, optional={s: VALUES[option.name] for s in ("command", "env", "ini")}
            )
        )
        for option in OPTIONS
    }
    # As in a real call: the flag has no value, and a file is of no use without it.
    words = ["--gilknocker"]
    for option in OPTIONS:
        sources = drawn[option.name]
        if option.name != "gilknocker" and "command" in sources:
            words.append(f"{option.flag}={sources['command'][0]}")
    lines = [f"{name} = {s['ini'][0]}" for name, s in drawn.items() if "ini" in s]
    pytester.makeini("\n".join(["[pytest]", *lines]))
    with pytest.MonkeyPatch.context() as patch:
        for option in OPTIONS:
            if "env" in drawn[option.name]:
                patch.setenv(option.variable, drawn[option.name]["env"][0])
        found = settled(pytester.parseconfig(*words))
    assert found.enabled is True
    for option in OPTIONS[1:]:
        sources = drawn[option.name]
        expected = next(
            (sources[s][1] for s in ("command", "env", "ini") if s in sources), option.default
        )
        assert getattr(found, option.name.removeprefix("gilknocker_")) == expected


@pytest.mark.parametrize(
    ("words", "environment", "enabled"),
    [
        ([], None, False),
        (["--gilknocker"], None, True),
        ([], "1", True),
        (["--no-gilknocker"], "1", False),
        (["--gilknocker"], "0", True),
        (["--gilknocker", "--no-gilknocker"], None, False),
    ],
)
def test_switch(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    environment: str | None,
    enabled: bool,
) -> None:
    if environment is not None:
        monkeypatch.setenv("PYTEST_GILKNOCKER", environment)
    assert settled(pytester.parseconfig(*words)).enabled is enabled


MARKS = {
    "limit_gil_hold(50)": "limit must be a duration greater than 0 with its unit",
    "limit_gil_hold()": "missing 1 required positional argument: 'limit'",
    "limit_gil_hold('0 ms')": "not '0 ms'",
    "limit_gil_wait('5 ms', percentile=0)": "percentile must be a real number greater than 0",
    "limit_gil_wait('5 ms', 101)": "percentile must be",
    "limit_gil_wait('5 m')": "not '5 m'",
    "limit_gil_contention(1.5)": "limit must be a share of the time, a real number from 0 to 1",
    "limit_gil_contention('50 %')": "not '50 %'",
    "limit_gil_contention(0.5, x=1)": "unexpected keyword argument 'x'",
    "gil_knocker(interval_micros=0)": "interval_micros must be an integer from 1 to",
    "gil_knocker(interval_micros=True)": "not True",
    "gil_knocker(1000)": "0 positional arguments",
    "gil_knocker(method='look')": "method must be auto, knock or trace, not 'look'",
}


def test_bad_marks_are_usage_errors_before_any_test_runs(pytester: pytest.Pytester) -> None:
    for number, (mark, message) in enumerate(MARKS.items()):
        path = pytester.makepyfile(
            **{f"test_{number}": f"import pytest\n@pytest.mark.{mark}\ndef test_it(): assert 0"}
        )
        result = run(pytester, path)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        name = mark.partition("(")[0]
        [line] = [line for line in result.errlines if line.startswith("ERROR")]
        assert f"test_{number}.py::test_it: mark {name}: " in line
        assert message in line


def test_bad_options_are_usage_errors(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(*words: str) -> str:
        result = run(pytester, *words)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        return result.stderr.str()

    assert "--gilknocker-sort must be held, hold or wait, not 'x'" in error("--gilknocker-sort=x")
    assert "--gilknocker-json needs --gilknocker" in error("--gilknocker-json=x")
    assert "--gilknocker-stalls must be a duration from 10 ms" in error("--gilknocker-stalls=1ms")
    pytester.makeini("[pytest]\ngilknocker_count = -1\n")
    assert "gilknocker_count (ini file) must be an integer from 0 to" in error()
    monkeypatch.setenv("PYTEST_GILKNOCKER_COUNT", "many")
    assert "PYTEST_GILKNOCKER_COUNT must be an integer from 0 to" in error()


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="[tool.pytest] is not read")
@pytest.mark.parametrize(("name", "value"), [("gilknocker", "true"), ("gilknocker_count", "3")])
def test_values_of_a_native_table_are_texts(
    pytester: pytest.Pytester, name: str, value: str
) -> None:
    pytester.makepyprojecttoml(f'[tool.pytest]\n{name} = "{value}"\n')
    found = settled(pytester.parseconfig())
    assert (found.enabled, found.count) in ((True, 10), (False, 3))
    pytester.makepyprojecttoml(f"[tool.pytest]\n{name} = {value}\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *'{name}' expects a string, *: write it in quotes"])


def test_tracing_where_it_is_not_possible(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): assert 0")
    pytester.makeconftest(
        """
        import gilknocker
        class GilTracer:
            @staticmethod
            def supported():
                return False, "this is no Linux"
        gilknocker.GilTracer = GilTracer
        """
    )
    result = run(pytester, "--gilknocker", "--gilknocker-method=trace", separately=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --gilknocker-method=trace is not possible here: this is no Linux"]
    )


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("50 ms", 50_000_000),
        ("50ms", 50_000_000),
        (" 1.5  us ", 1_500),
        ("2 \u00b5s", 2_000),
        (".25 s", 250_000_000),
        ("1 ns", 1),
        ("9000000000 s", 9 * 10**18),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration("limit", text) == ns


@pytest.mark.parametrize(
    "bad", ["", "ms", "5", "-5 ms", "0 s", "0.1 ns", "1e3 ms", "5 min", "5 5 ms", "1..5 s", "nan s",
            "1_0 ms", "10000000000 s", "1" * 400 + " s", "\u0661 s"]
)  # fmt: skip
def test_other_texts_are_no_durations(bad: str) -> None:
    with pytest.raises(ValueError, match=r"^limit must be a duration greater than 0 with its unit"):
        parse_duration("limit", bad)


@pytest.mark.parametrize("bad", [50, 0.05, None, b"5 ms", True])
def test_other_things_are_no_durations(bad: object) -> None:
    with pytest.raises(TypeError, match=r"^max_hold must be a duration"):
        parse_duration("max_hold", bad)
