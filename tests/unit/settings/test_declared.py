"""What a setting may be."""

import pytest
from pydantic import ValidationError

from penstock.settings import (
    CollectionSettings,
    ConsoleSettings,
    PipelineSettings,
    Settings,
    SinkSettings,
    SourceSettings,
)
from penstock.settings.table import (
    SECTIONS,
    TABLES,
    collection_table,
    reaction_table,
    section_class,
    settings_table,
    topic_table,
)


def problem(kind, **values):
    with pytest.raises(ValidationError) as raised:
        kind(**values)
    return [(error["loc"][0], error["msg"].removeprefix("Value error, ")) for error in raised.value.errors()]


def test_every_default_is_right_by_itself():
    assert Settings().sink.url == "http://127.0.0.1:9200"


def test_every_field_has_a_description_and_a_kind():
    for row in (*settings_table(), *collection_table(), *reaction_table(), *topic_table()):
        assert row.description, row.in_file
        assert row.kind


def test_every_setting_outside_collections_is_one_value_so_that_a_variable_can_carry_it():
    assert {row.kind for row in settings_table()}.isdisjoint({"list of texts", "table of texts"})


def test_every_section_is_in_the_table():
    assert {*SECTIONS, *TABLES} == set(Settings.model_fields)
    for section in SECTIONS:
        names = [row.name for row in settings_table() if row.section == section]
        assert names == list(section_class(section).model_fields)


def test_names_of_variables_and_flags_are_made_from_section_and_field():
    row = next(row for row in settings_table() if row.name == "password_file" and row.section == "source")
    assert (row.in_file, row.variable, row.flag) == (
        "[source] password_file",
        "PENSTOCK_SOURCE_PASSWORD_FILE",
        "--source-password-file",
    )
    assert row.is_file
    assert not row.is_secret


def test_passwords_and_the_connection_string_are_secrets():
    secrets = {row.parameter for row in settings_table() if row.is_secret}
    assert secrets == {"source_uri", "source_password", "sink_password", "sink_api_key", "log_password"}


@pytest.mark.parametrize(
    "name",
    ["orders", "shop.orders", "0-9", "café", "a_b-c"],
)
def test_index_names_that_opensearch_takes(name):
    assert CollectionSettings(namespace="a.b", index=name).alias == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Orders", "lower case: orders"),
        ("", "begin with a letter"),
        ("_orders", "begin with a letter"),
        ("-orders", "begin with a letter"),
        ("..", "begin with a letter"),
        ("a b", "must not contain ' '"),
        ("a/b*c", "must not contain '*' '/'"),
        ("a:b", "must not contain ':'"),
        ("a\nb", "must not contain"),
        ("penstock-state", "penstock's own state"),
        ("x" * 201, "longer than 200 bytes"),
        ("é" * 101, "longer than 200 bytes"),
    ],
)
def test_index_names_that_opensearch_refuses(name, reason):
    ((where, what),) = problem(CollectionSettings, namespace="a.b", index=name)
    assert where == "index"
    assert reason in what


def test_the_index_is_the_namespace_in_lower_case_when_none_is_named():
    assert CollectionSettings(namespace="Shop.Orders").alias == "shop.orders"


def test_an_index_must_be_named_when_the_namespace_cannot_be_one():
    ((where, what),) = problem(CollectionSettings, namespace="shop.my orders")
    assert where == "index"
    assert what == "must be given, because shop.my orders cannot be the name of an index: it must not contain ' '"


@pytest.mark.parametrize("namespace", ["shop.orders", "shop.a.b", "shop.my orders", "shop.été"])
def test_namespaces_of_mongodb_are_taken(namespace):
    assert CollectionSettings(namespace=namespace, index="x").namespace == namespace


@pytest.mark.parametrize(
    ("namespace", "reason"),
    [
        ("shop", "must look like database.collection"),
        (".orders", "must look like"),
        ("shop.", "must look like"),
        ("admin.users", "system collection"),
        ("local.oplog.rs", "system collection"),
        ("shop.system.views", "system collection"),
        ("my shop.orders", "contains a character"),
        ("shop.or$ders", "contains a character"),
    ],
)
def test_namespaces_without_a_change_stream_are_refused(namespace, reason):
    assert reason in problem(CollectionSettings, namespace=namespace, index="x")[0][1]


def test_a_path_in_include_and_exclude_is_refused():
    ((where, what),) = problem(CollectionSettings, namespace="a.b", include=["x", "y.z"], exclude=["y.z"])
    assert (where, what) == ("exclude", "names fields that include names too: y.z")


def test_a_field_below_an_included_one_may_be_excluded():
    assert CollectionSettings(namespace="a.b", include=["x"], exclude=["x.y"]).exclude == ("x.y",)


def test_two_fields_renamed_to_one_are_refused():
    ((where, what),) = problem(CollectionSettings, namespace="a.b", rename={"x": "z", "y": "z"})
    assert (where, what) == ("rename", "gives two fields the same name: z")


@pytest.mark.parametrize(
    ("conflicts", "reason"),
    [
        ({"*": "text"}, "can only use dead-letter or leave-out for `*`; name the fields that should become text"),
        ({"a": "flat_object", "a.b.c": "text"}, "names `a.b.c`, which is within `a`; keep one of the two"),
        ({"_penstock.id": "text"}, "names `_penstock.id`, a field that penstock reserves"),
    ],
)
def test_conflicts_that_contradict_each_other_are_refused(conflicts, reason):
    ((where, what),) = problem(CollectionSettings, namespace="a.b", conflicts=conflicts)
    assert (where, what) == ("conflicts", reason)


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b"])
def test_paths_with_empty_parts_are_refused(path):
    assert "dotted path" in problem(CollectionSettings, namespace="a.b", include=[path])[0][1]


@pytest.mark.parametrize("name", ["search", "search:", ":order", "a b:c", "a..b:c", "a:b.c", "1a:b"])
def test_functions_must_look_like_module_and_function(name):
    assert problem(CollectionSettings, namespace="a.b", function=name) == [
        ("function", "must look like module:function")
    ]


def test_two_collections_for_one_index_are_refused():
    tables = [{"namespace": "a.b", "index": "x"}, {"namespace": "a.c", "index": "x"}]
    ((where, what),) = problem(Settings, collections=tables)
    assert where == "collections"
    assert what.startswith("a.b and a.c would share the index x")


def test_two_collections_whose_default_indexes_are_one_are_refused():
    tables = [{"namespace": "shop.orders"}, {"namespace": "shop.Orders"}]
    assert "would share the index shop.orders" in problem(Settings, collections=tables)[0][1]


def test_the_same_collection_twice_is_refused():
    tables = [{"namespace": "a.b", "index": "x"}, {"namespace": "a.b", "index": "y"}]
    assert "a.b is declared twice" in problem(Settings, collections=tables)[0][1]


def test_basic_needs_user_and_password():
    assert problem(SinkSettings, auth="basic") == [
        ("username", 'is needed for auth = "basic"'),
        ("password_file", 'or password is needed for auth = "basic"'),
    ]


def test_an_api_key_needs_its_way_and_the_way_needs_a_key(tmp_path):
    assert problem(SinkSettings, auth="api-key") == [("api_key_file", 'or api_key is needed for auth = "api-key"')]
    assert problem(SinkSettings, api_key="os_hush")[0][0] == "api_key"
    file = tmp_path / "key"
    file.write_text("os_hush")
    assert problem(SinkSettings, api_key_file=file)[0][0] == "api_key_file"
    both = problem(SinkSettings, auth="api-key", api_key="os_hush", api_key_file=file)
    assert both == [("api_key_file", "must not be given together with api_key")]
    worded = problem(SinkSettings, auth="api-key", api_key="os_hush\n")
    assert worded == [("api_key", "is no API key: one word of printable ASCII characters")]
    assert "os_hush" not in repr(SinkSettings(auth="api-key", api_key="os_hush"))


def test_a_client_certificate_needs_tls_and_its_key_needs_it(tmp_path):
    file = tmp_path / "client.pem"
    file.touch()
    plain = problem(SinkSettings, client_certificate=file)
    assert plain == [("client_certificate", "has no effect without TLS; use https:// in url")]
    alone = problem(SinkSettings, url="https://index", client_key=file)
    assert alone == [("client_key", "has no effect without client_certificate")]
    assert SinkSettings(url="https://index", client_certificate=file, client_key=file)


def test_a_user_without_basic_is_refused_since_it_would_not_be_sent():
    assert problem(SinkSettings, username="me")[0][0] == "username"


def test_a_password_and_its_file_contradict_each_other(tmp_path):
    file = tmp_path / "password"
    file.write_text("secret")
    assert problem(SourceSettings, username="me", password="x", password_file=file)[0] == (
        "password_file",
        "must not be given together with password",
    )


def test_a_file_that_is_not_there_is_refused(tmp_path):
    ((where, what),) = problem(SourceSettings, tls_ca_file=tmp_path / "ca.pem")
    assert (where, what) == ("tls_ca_file", f"names a file that does not exist: {tmp_path / 'ca.pem'}")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:9200", "ftp://h", "http://", "http://me:pw@h:9200", "http://h:0", "http://h:99999", "http://h?a=b"],
)
def test_addresses_of_the_index_are_scheme_host_and_port(url):
    ((where, what),) = problem(SinkSettings, url=url)
    assert where == "url"
    assert "pw" not in what


def test_a_slash_behind_the_address_is_dropped():
    assert SinkSettings(url="https://search.example:443/").url == "https://search.example:443"


@pytest.mark.parametrize("listen", ["9400", "host", "host:", "host:x", "host:70000", "::1:9400", "[::1]"])
def test_the_health_port_needs_host_and_port(listen):
    with pytest.raises(ValidationError):
        Settings(observe={"listen": listen})


@pytest.mark.parametrize("listen", [":9400", "127.0.0.1:0", "[::1]:9400", "[::]:9400", "localhost:9400"])
def test_the_health_port_may_be_of_any_interface(listen):
    assert Settings(observe={"listen": listen}).observe.listen == listen


def test_secrets_do_not_show_in_the_settings():
    settings = Settings(source={"uri": "mongodb://me:hunter2@h/?replicaSet=r", "username": "u", "password": "hunter3"})
    assert "hunter" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize("uri", ["mongodb://me@h:1/?replicaSet=r", "mongodb://me:old@h:1"])
def test_a_password_goes_with_the_user_of_the_connection_string(uri):
    assert SourceSettings(uri=uri, password="x").user == "me"


def test_the_user_of_the_connection_string_is_read_as_it_is_escaped():
    assert SourceSettings(uri="mongodb://a%40b:p@h/?x=y%40z").user == "a@b"
    assert SourceSettings(uri="mongodb://h/?x=y%40z").user is None


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://me:12345/topsecret@host/",
        "mongodb://me:Top@secret/x@host/",
        "mongodb://me:Top?secret@host/",
        "mongodb://me:topsecret@x@host/",
        "mongodb://me:top:secret@host/",
        "mongodb+srv://me:topsecret/@host/?replicaSet=r",
        "mongodb://host/?appName=topsecret@x",
        "mongodb://h1:1,h2:2/topsecret@host",
    ],
)
def test_a_password_that_is_not_percent_encoded_is_refused_without_showing_it(uri):
    ((name, message),) = problem(SourceSettings, uri=uri)
    assert name == "uri"
    assert "percent-encode the password or give it as password_file" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "uri", ["mongodb://h1:1,h2:2,h3:3/?replicaSet=r", "mongodb://u:p@[::1]:27017/", "mongodb://u@h"]
)
def test_hosts_may_have_ports(uri):
    assert SourceSettings(uri=uri).uri.get_secret_value() == uri


@pytest.mark.parametrize(
    "url", ["https://me:12345/topsecret@host:9200", "https://me:top\u2100secret@h", "https://[secret"]
)
def test_an_address_of_the_index_shows_no_password(url):
    ((_, message),) = problem(SinkSettings, url=url)
    assert "secret" not in message


def test_a_password_without_a_user_is_told_under_its_own_name(tmp_path):
    file = tmp_path / "password"
    file.write_text("secret")
    assert problem(SourceSettings, password="x")[0][0] == "password"
    assert problem(SourceSettings, password_file=file)[0][0] == "password_file"
    assert "has no effect without a user name" in problem(SourceSettings, password="x")[0][1]


def test_a_pattern_is_not_followed_and_neither_is_what_it_could_find():
    told = problem(CollectionSettings, namespace="shop.*", on_rename="follow")
    assert 'must not be "follow" for a pattern' in str(told)
    told = problem(Settings, collections=[{"namespace": "shop.*"}, {"namespace": "shop.a", "on_rename": "follow"}])
    assert 'shop.a has on_rename = "follow", but shop.* could match its new name too' in str(told)
    assert Settings(collections=[{"namespace": "other.*"}, {"namespace": "shop.a", "on_rename": "follow"}])


@pytest.mark.parametrize("name", ["", "a b", "a/b", "shop.orders", "generation", "x" * 65])
def test_names_of_deployments_that_would_not_stay_apart_are_refused(name):
    ((where, what),) = problem(PipelineSettings, name=name)
    assert (where, what) == ("name", 'must be 1 to 64 letters, digits, "-" and "_", and not "generation"')
    assert PipelineSettings(name="blue-2_b").name == "blue-2_b"


@pytest.mark.parametrize("hosts", ["https://a.example", "a.example:9401", "a.example, b c", "a/b"])
def test_allowed_hosts_are_names_without_scheme_and_port(hosts):
    with pytest.raises(ValidationError, match="which is not the name of a host; write it without scheme and port"):
        ConsoleSettings(allowed_hosts=hosts)


TOPIC = {"topic": "cdc.shop.*", "collection": "shop.*", "form": "keys"}
QUEUE = {"parking_queue": "https://sqs.eu-west-1.amazonaws.com/123456789012/parked"}


@pytest.mark.parametrize(
    ("given", "brought_by", "has_topics"),
    [
        ({}, "", False),
        ({"topics": [TOPIC]}, "topics", True),
        ({"log": {"own_topics": True}}, "", True),
        ({"pipeline": QUEUE}, "mapped", False),
        ({"pipeline": QUEUE, "topics": [TOPIC]}, "mapped", False),
    ],
)
def test_where_a_function_brings_the_changes_no_process_applies_topics(given, brought_by, has_topics):
    settings = Settings.model_validate({"collections": [{"namespace": "shop.orders"}], **given})
    assert settings.brought_by("shop.orders") == brought_by
    assert settings.has_topics("shop.orders") == has_topics
