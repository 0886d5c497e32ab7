"""Three places for settings, and one message for all that is wrong with them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import SettingsError
from penstock.settings import read_settings, settings_path
from penstock.settings.table import settings_table


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "penstock.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(**where):
    with pytest.raises(SettingsError) as raised:
        read_settings(**where)
    return raised.value.problems


def test_flags_win_over_the_environment_and_the_environment_over_the_file(write):
    file = write("[sink]\ntimeout_s = 1\nmax_request_writes = 1\nrequests_in_flight = 1\n")
    environ = {"PENSTOCK_SINK_MAX_REQUEST_WRITES": "2", "PENSTOCK_SINK_REQUESTS_IN_FLIGHT": "2"}
    sink = read_settings(file=file, environ=environ, flags={"sink_requests_in_flight": "3", "sink_gzip": None}).sink
    assert (sink.timeout_s, sink.max_request_writes, sink.requests_in_flight) == (1.0, 2, 3)


def test_a_wrong_value_that_another_place_overrides_does_no_harm(write):
    assert read_settings(file=write('[sink]\ngzip = "perhaps"\n'), flags={"sink_gzip": True}).sink.gzip


def test_an_empty_variable_counts_as_not_set():
    assert read_settings(environ={"PENSTOCK_SINK_REGION": ""}).sink.region is None


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "PENSTOCK_SINK_TIMEOUT_S": st.floats(0.001, 1e6).map(str),
            "PENSTOCK_PIPELINE_BATCH_CHANGES": st.integers(1, 10**9).map(str),
            "PENSTOCK_SINK_GZIP": st.sampled_from(["true", "false", "1", "0", "yes", "no", "on", "off"]),
            "PENSTOCK_SOURCE_CURSOR_PER": st.sampled_from(["database", "collection"]),
        },
    )
)
def test_the_same_values_mean_the_same_as_variables_and_as_flags(environ):
    by_variable = {row.variable: row.parameter for row in settings_table()}
    flags = {by_variable[name]: value for name, value in environ.items()}
    assert read_settings(environ=environ) == read_settings(flags=flags)


def test_every_problem_comes_in_one_message_under_the_name_that_was_used(write):
    file = write(
        """
        nonsense = 1
        [source]
        uri = "postgres://me:hunter2@host"
        cursor = 3
        [sink]
        gzip = "maybe"
        [[collections]]
        namespace = "shop.orders"
        index = "Orders"
        [[collections]]
        namespace = "shop.items"
        shards = 0
        [[collections]]
        index = "x"
        """
    )
    environ = {"PENSTOCK_SINK_TIMEOUT_S": "soon", "PENSTOCK_SINK_ADDRESS": "x", "PENSTOCK_SORCE_URI": "x"}
    found = problems(file=file, environ=environ, flags={"pipeline_batch_changes": "0"})
    assert sorted(found) == sorted(
        [
            f"{file}: [nonsense] is not a setting",
            "PENSTOCK_SINK_ADDRESS is not a setting",
            "PENSTOCK_SORCE_URI is not a setting; did you mean PENSTOCK_SOURCE_URI?",
            "[source] uri must look like mongodb://host:port/?replicaSet=name",
            "[source] cursor is not a setting; did you mean cursor_per?",
            "[sink] gzip must be true or false, not 'maybe'",
            "PENSTOCK_SINK_TIMEOUT_S must be a number, not 'soon'",
            "--pipeline-batch-changes must be at least 1, not '0'",
            "[[collections]] shop.orders: index must be lower case: orders",
            "[[collections]] shop.items: shards must be at least 1, not 0",
            "[[collections]] number 3: namespace is missing",
        ]
    )


def test_what_is_wrong_between_collections_is_told_beside_what_is_wrong_in_one(write):
    file = write(
        '[[collections]]\nnamespace="a.b"\nindex="x"\n[[collections]]\nnamespace="a.c"\nindex="x"\n'
        '[[collections]]\nnamespace="bad"\n'
    )
    found = "\n".join(problems(file=file))
    assert "a.b and a.c would share the index x" in found
    assert "[[collections]] bad: namespace must look like database.collection" in found


def test_secrets_are_in_no_message(write):
    file = write('[source]\nuri = "mongo://me:hunter2@h"\npassword = 5555\n[sink]\nurl = "http://me:hunter3@h"\n')
    environ = {"PENSTOCK_SINK_PASSWORD": "hunter4", "PENSTOCK_SINK_USERNAME": "me@hunter5"}
    text = "\n".join(problems(file=file, environ=environ, flags={"sink_region": "r", "sink_auth": "token"}))
    assert "hunter" not in text
    assert "5555" not in text
    assert "--sink-auth must be one of 'none', 'basic', 'api-key' or 'sigv4', not 'token'" in text


def test_a_syntax_error_names_the_file_and_the_line(write):
    file = write("[source]\nuri = \n")
    (found,) = problems(file=file)
    assert found.startswith(f"{file} is not valid TOML: ")
    assert "line 2" in found


def test_a_file_that_is_not_utf_8_is_told(tmp_path):
    path = tmp_path / "penstock.toml"
    path.write_bytes(b"[source]\nuri = '\xff'\n")
    assert problems(file=path)[0].startswith(f"{path} is not valid TOML: ")


def test_a_settings_file_that_is_not_there_is_told(tmp_path):
    assert "cannot be read: No such file" in problems(file=tmp_path / "none.toml")[0]


@pytest.mark.parametrize("content", [None, "[source", "collections = 5"])
def test_what_cannot_be_read_is_not_also_told_to_name_no_collection(tmp_path, content):
    file = tmp_path / "penstock.toml"
    if content is not None:
        file.write_text(content)
    assert len(problems(file=file, need_collections=True)) == 1


def test_collections_that_are_not_json_are_the_only_problem():
    assert len(problems(environ={"PENSTOCK_COLLECTIONS": "[{"}, need_collections=True)) == 1


def test_other_problems_are_told_beside_a_file_that_cannot_be_read(tmp_path):
    found = problems(file=tmp_path / "none.toml", environ={"PENSTOCK_SINK_GZIP": "maybe"})
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("source = 5", "source must be a table"),
        ("[collections]\nnamespace = 'a.b'", "collections must be written as [[collections]] tables"),
        ("collections = [1]", "[[collections]] number 1 must be a table"),
        ("[sources]\nuri = 'x'", "[sources] is not a setting; did you mean source?"),
    ],
)
def test_the_wrong_shape_of_a_file_is_told(write, text, told):
    assert told in "\n".join(problems(file=write(text)))


def test_the_file_is_the_flag_s_then_the_environment_s_then_the_one_that_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings_path(None, {}) is None
    (tmp_path / "penstock.toml").touch()
    assert settings_path(None, {}) == Path("penstock.toml")
    assert settings_path(None, {"PENSTOCK_SETTINGS": "other.toml"}) == Path("other.toml")
    assert settings_path(Path("mine.toml"), {"PENSTOCK_SETTINGS": "other.toml"}) == Path("mine.toml")


def test_names_of_files_are_relative_to_the_settings_file(write, tmp_path):
    (tmp_path / "orders.json").write_text("{}")
    (tmp_path / "secret").write_text("x")
    file = write(
        '[source]\nusername = "me"\npassword_file = "secret"\n'
        '[[collections]]\nnamespace = "a.b"\nmapping_file = "orders.json"\n'
    )
    settings = read_settings(file=file)
    assert settings.source.password_file == tmp_path / "secret"
    assert settings.collections[0].mapping_file == tmp_path / "orders.json"


@pytest.mark.parametrize(
    "name",
    [
        "PENSTOCK_TEST_SOURCE_URI",
        "PENSTOCK_SERVICE_HOST",
        "PENSTOCK_SERVICE_PORT_HTTP",
        "PENSTOCK_PORT",
        "PENSTOCK_PORT_9400_TCP_ADDR",
        "PENSTOCK_METRICS_SERVICE_HOST",
        "PENSTOCK_METRICS_PORT_9400_TCP",
    ],
)
def test_variables_that_others_set_are_left_alone(name):
    read_settings(environ={name: "x", "HOME": "/"})


@pytest.mark.parametrize("name", ["PENSTOCK_SERVICE", "PENSTOCK_PORTS", "PENSTOCK_SINK_PORT_X", "PENSTOCK_"])
def test_other_unknown_variables_are_refused(name):
    assert problems(environ={name: "x"})[0].startswith(f"{name} is not a setting")


def test_collections_of_the_environment_are_names_or_tables():
    names = read_settings(environ={"PENSTOCK_COLLECTIONS": "a.b, c.d"}).collections
    assert [each.namespace for each in names] == ["a.b", "c.d"]
    tables = json.dumps(["a.b", {"namespace": "c.d", "exclude": ["x"]}])
    assert read_settings(environ={"PENSTOCK_COLLECTIONS": tables}).collections[1].exclude == ("x",)


def test_collections_that_are_not_json_are_told():
    assert "PENSTOCK_COLLECTIONS is not valid JSON" in problems(environ={"PENSTOCK_COLLECTIONS": "[{"})[0]


def test_chosen_collections_keep_what_the_file_says_of_them(write):
    file = write('[[collections]]\nnamespace = "a.b"\nindex = "x"\n[[collections]]\nnamespace = "a.c"\n')
    chosen = read_settings(file=file, chosen=["a.b", "z.z"]).collections
    assert [(each.namespace, each.alias) for each in chosen] == [("a.b", "x"), ("z.z", "z.z")]


def test_a_chosen_collection_keeps_what_a_pattern_says_of_it(write):
    """A field that must not be indexed, for one."""
    file = write('[[collections]]\nnamespace = "shop.*"\nindex = "live-{collection}"\nexclude = ["password"]\n')
    found, other = read_settings(file=file, chosen=["shop.Orders", "other.orders"]).collections
    assert (found.namespace, found.alias, found.exclude) == ("shop.Orders", "live-orders", ("password",))
    assert (other.alias, other.exclude) == ("other.orders", ())


@pytest.mark.parametrize("table", ['namespace = ["a.b", "a.c"]', "namespace = 5"])
def test_a_namespace_that_is_no_text_is_said_also_beside_chosen_collections(write, table):
    file = write(f"[[collections]]\n{table}\n")
    assert read_settings(file=file, chosen=["a.b"]).collections[0].namespace == "a.b"
    assert "must be a text" in problems(file=file)[0]


def test_a_number_must_be_finite():
    assert "must be a finite number" in problems(environ={"PENSTOCK_SINK_TIMEOUT_S": "inf"})[0]


@pytest.mark.parametrize("text", ["-----BEGIN PRIVATE KEY-----\nsecret\n", "secret" * 100], ids=["lines", "long"])
def test_what_is_no_name_of_a_file_is_not_shown(text):
    (problem,) = problems(environ={"PENSTOCK_SOURCE_TLS_CA_FILE": text})
    assert problem.endswith("must be the name of a file that exists, not its content")


def test_a_worker_without_collections_is_told_how_to_name_one():
    assert "add a [[collections]] table" in problems(need_collections=True)[0]
    assert read_settings().collections == ()


def test_a_policy_that_is_none_is_told_with_its_field(write):
    file = write('[[collections]]\nnamespace = "shop.orders"\n[collections.conflicts]\n"a.b" = "txt"\n"c" = "text"\n')
    (found,) = problems(file=file)
    assert found.startswith("[[collections]] shop.orders: conflicts `a.b` must be one of 'dead-letter', 'text',")
