"""Several collections in one deployment: each with its mapping, all with their settings."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Configuration, ConfigurationError
from penstock.settings import read_settings
from penstock_cdk.collections import Collections, index_patterns
from testkit.functions_template import may_ask, properties
from testkit.synthesis import synthesise
from testkit.templates import LAMBDA, Template, all_properties

TABLES = [
    {"namespace": "shop.orders", "index": "shop-orders", "exclude": ["secret"], "replicas": 0},
    {"namespace": "shop.items", "index": "shop-items", "rename": {"a.b": "c"}, "conflicts": {"x": "text"}},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders.json").write_text('{"mappings": {"properties": {"n": {"type": "long"}}}}')
    (tmp_path / "shop.py").write_text("def order(document):\n    return document\n")
    (tmp_path / "penstock.toml").write_text(
        '[source]\nuri = "mongodb://127.0.0.1"\n'
        '[[collections]]\nnamespace = "shop.orders"\nmapping_file = "orders.json"\n'
        'function = "shop:order"\nexclude = ["secret"]\n[[collections]]\nnamespace = "shop.items"\n'
    )
    return tmp_path


def test_tables_are_read_from_json_and_from_a_settings_file(folder: Path) -> None:
    (folder / "tables.json").write_text(json.dumps(TABLES))
    for given in (TABLES, json.dumps(TABLES), f"@{folder}/tables.json"):
        assert [each.namespace for each in Collections.read(given).tables] == ["shop.orders", "shop.items"]
    (orders, items) = Collections.read(f"@{folder}/penstock.toml").tables
    assert (orders.function, orders.exclude, items.alias) == ("shop:order", ("secret",), "shop.items")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("shop.orders", "a list of tables in JSON"),
        ("@nowhere.json", "the file cannot be read"),
        ([{"namespace": "shop.orders", "indx": "a"}], "indx"),
        ([{"namespace": "a.b", "index": "same"}, {"namespace": "a.c", "index": "same"}], "same"),
        ([{"namespace": "shop.orders", "function": "nowhere_at_all:order"}], "put nowhere_at_all.py there"),
    ],
)
def test_tables_that_cannot_be_deployed(given: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("{", r"\{")):
        Collections.read(given)


@pytest.mark.parametrize(
    ("table", "door", "said"),
    [
        ({"namespace": "shop.*", "index": "shop-{collection}"}, "mapping", "only `penstock run` looks for collections"),
        ({"namespace": "shop.*", "index": "shop-{collection}"}, "both", "only `penstock run` looks for collections"),
        (
            {"namespace": "shop.a", "index": "shop-a", "on_drop": "empty", "drop_grace_s": 60},
            "mapping",
            "drop_grace_s needs `penstock run`",
        ),
        ({"namespace": "shop.a", "index": "shop-a", "on_rename": "follow"}, "mapping", "needs `penstock run`"),
        ({"namespace": "shop.a", "index": "shop-a", "on_rename": "follow"}, "worker", "does not report renames"),
    ],
)
def test_what_a_door_cannot_do_is_refused_there(table: dict[str, Any], door: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        configured([TABLES[0], table], door)


def test_the_api_serves_a_first_table_that_is_no_pattern() -> None:
    with pytest.raises(ConfigurationError, match="put another table first"):
        configured([{"namespace": "shop.*", "index": "shop-{collection}"}], "worker")


def configured(tables: list[dict[str, Any]], door: str) -> Configuration:
    from aws_cdk import App

    return Configuration.from_context(App(context={"collections": tables, "door": door}).node)


def test_a_worker_follows_patterns_in_databases_that_are_enabled_as_a_whole(synth: Any) -> None:
    tables = [
        {"namespace": "shop.orders", "index": "shop-orders", "replicas": 0, "on_drop": "empty", "drop_grace_s": 3600},
        {"namespace": "logs.y*", "index": "logs-{collection}", "replicas": 0},
    ]
    template = synth({"door": "worker", "collections": tables})[LAMBDA]
    streams = {(each["Database"], each["Collection"]) for each in all_properties(template, "Custom::ChangeStream")}
    assert streams == {("shop", "orders"), ("logs", "")}
    task = properties(template, "AWS::ECS::TaskDefinition")
    role = template.content["Resources"][task["TaskRoleArn"]["Fn::GetAtt"][0]]["Properties"]
    assert may_ask(role, "POST", "/logs-y2026-g1-write/_bulk")
    assert may_ask(role, "PUT", "/logs-y2026-g1")
    assert not may_ask(role, "POST", "/other-g1-write/_bulk")


def test_the_bundle_holds_the_settings_and_the_files_that_they_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "handler.py").write_text("")
    given = Collections.read(f"@{folder}/penstock.toml")
    bundle = Path(given.add_to(str(code)))
    assert (bundle / "handler.py").exists()
    assert (bundle / "shop.py").read_text() == (folder / "shop.py").read_text()
    monkeypatch.chdir(bundle)
    read = read_settings(file=Path("penstock.toml")).collections
    unlike = {"mapping_file"}
    assert [each.model_dump(exclude=unlike) for each in read] == [
        each.model_dump(exclude=unlike) for each in given.tables
    ]
    assert json.loads(read[0].mapping_file.read_text()) == json.loads((folder / "orders.json").read_text())
    assert "source" not in tomllib.loads((bundle / "penstock.toml").read_text())
    assert not (code / "penstock.toml").exists()


def test_rights_are_of_each_index_or_of_what_many_have_in_common() -> None:
    assert index_patterns(["b", "a"]) == ["b", "a"]
    assert index_patterns([f"shop-{number:04}" for number in range(4)])[3] == "shop-0003"
    assert index_patterns([f"shop-{number:035}" for number in range(3)])[2].endswith("02")
    assert index_patterns([f"shop-orders-{number}" for number in range(4)]) == ["shop-orders-*"], "they do not fit"
    many = [f"shop-{number}" for number in range(9)]
    assert index_patterns(many) == ["shop-*"]
    with pytest.raises(ValueError, match="common beginning"):
        index_patterns([*many, "other"])


@pytest.fixture(scope="module")
def two(synth: Any) -> Template:
    return synth({"collections": TABLES})[LAMBDA]


def mapped(template: Template) -> set[tuple[str, str]]:
    configured = [
        each["DocumentDBEventSourceConfig"] for each in all_properties(template, "AWS::Lambda::EventSourceMapping")
    ]
    return {(each["DatabaseName"], each["CollectionName"]) for each in configured}


def test_each_collection_has_its_mapping_and_its_stream_is_enabled_first(two: Template) -> None:
    assert mapped(two) == {("shop", "orders"), ("shop", "items")}
    streams = two.find_resources("Custom::ChangeStream")
    assert {each["Properties"]["Collection"] for each in streams.values()} == {"orders", "items"}
    for each in all_properties(two, "AWS::Lambda::EventSourceMapping"):
        (stream,) = [
            name for name in streams if each["StartingPositionTimestamp"] == {"Fn::GetAtt": [name, "EnabledAt"]}
        ]
        assert streams[stream]["Properties"]["Collection"] == each["DocumentDBEventSourceConfig"]["CollectionName"]
        assert each["FunctionName"] == all_properties(two, "AWS::Lambda::EventSourceMapping")[0]["FunctionName"]


def test_functions_read_the_settings_from_the_bundle_and_may_write_each_index(two: Template) -> None:
    sync = properties(two, "AWS::Lambda::Function", FunctionName="change-streams-demo-sync")
    assert sync["Environment"]["Variables"]["PENSTOCK_SETTINGS"] == "penstock.toml"
    assert "PENSTOCK_COLLECTIONS" not in sync["Environment"]["Variables"]
    role = two.content["Resources"][sync["Role"]["Fn::GetAtt"][0]]["Properties"]
    for index in ("shop-orders", "shop-items"):
        assert may_ask(role, "POST", f"/{index}-g1-write/_bulk")
    assert not may_ask(role, "POST", "/another-g1-write/_bulk")


def test_adding_or_removing_a_collection_touches_no_other(two: Template, tmp_path: Path) -> None:
    one = synthesise(tmp_path, {"collections": TABLES[:1]}).templates[LAMBDA]
    of_one: Mapping[str, Any] = one.find_resources("AWS::Lambda::EventSourceMapping")
    of_two = two.find_resources("AWS::Lambda::EventSourceMapping")
    for name, mapping in of_one.items():
        assert of_two[name] == mapping
    assert one.find_resources("Custom::ChangeStream").items() <= two.find_resources("Custom::ChangeStream").items()
