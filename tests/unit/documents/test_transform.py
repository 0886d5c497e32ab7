import json
import sys
from datetime import datetime

import pytest
from bson import Decimal128, ObjectId

from penstock.documents.document_id import id_json
from penstock.documents.transform import Transform
from penstock.errors import DocumentError, SettingsError
from penstock.settings import CollectionSettings

HEX = "65a0f1c2d3e4f5061728394a"


def transform(**rules) -> Transform:
    return Transform(CollectionSettings(namespace="shop.orders", **rules))


def document() -> dict:
    return {
        "_id": ObjectId(HEX),
        "name": "Ann",
        "address": {"city": "Nice", "zip": "06000"},
        "items": [{"sku": "x", "n": 1}, "loose", {"n": 2}, [{"sku": "y", "n": 3}]],
    }


def body(made: Transform, given: dict | None = None):
    answer = made(document() if given is None else given)
    return None if answer is None else json.loads(answer)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the current directory, which is importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_without_rules_the_body_is_the_document_without_its_id():
    expected = document()
    del expected["_id"]
    assert body(transform()) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"include": ["name"]}, {"name": "Ann"}),
        ({"include": ["address.city"]}, {"address": {"city": "Nice"}}),
        ({"include": ["items.sku"]}, {"items": [{"sku": "x"}, {}, [{"sku": "y"}]]}),
        ({"include": ["address.city", "address"]}, {"address": {"city": "Nice", "zip": "06000"}}),
        ({"include": ["name.first", "absent"]}, {}),
        ({"include": ["address"], "exclude": ["address.zip"]}, {"address": {"city": "Nice"}}),
        ({"exclude": ["address", "items", "absent.deep"]}, {"name": "Ann"}),
        (
            {"exclude": ["items.n", "address.zip", "name"]},
            {"address": {"city": "Nice"}, "items": [{"sku": "x"}, "loose", {}, [{"sku": "y"}]]},
        ),
        ({"include": ["name"], "rename": {"_id": "id"}}, {"name": "Ann", "id": HEX}),
        ({"include": ["name"], "rename": {"name": "person.name"}}, {"person": {"name": "Ann"}}),
        ({"include": ["address.city"], "rename": {"address.city": "city"}}, {"address": {}, "city": "Nice"}),
        (
            {"include": ["items.sku"], "rename": {"items.sku": "items.code"}},
            {"items": [{"code": "x"}, {}, [{"code": "y"}]]},
        ),
        ({"include": ["items.sku"], "rename": {"items.sku": "skus"}}, {"items": [{}, {}, [{}]], "skus": ["x", "y"]}),
        ({"include": ["name"], "rename": {"absent": "other"}}, {"name": "Ann"}),
    ],
)
def test_fields_are_selected_and_renamed_through_arrays_of_documents(rules, expected):
    assert body(transform(**rules)) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"exclude": ["a"]}, {"b": {"x.y": 2}}),
        ({"exclude": ["a.secret"]}, {"a.shown": {"z": 3}, "b": {"x.y": 2}}),
        ({"exclude": ["a.shown.z", "a.secret", "b.x.y"]}, {"a.shown": {}, "b": {}}),
        ({"include": ["a.secret", "b.x"]}, {"a.secret": "s3", "b": {"x.y": 2}}),
        ({"include": ["a.shown.z"]}, {"a.shown": {"z": 3}}),
        ({"include": ["a"]}, {"a.secret": "s3", "a.shown": {"z": 3}}),
    ],
)
def test_a_name_with_dots_is_the_same_path_as_in_the_index(rules, expected):
    stored = {"_id": ObjectId(HEX), "a.secret": "s3", "a.shown": {"z": 3}, "b": {"x.y": 2}}
    assert body(transform(**rules), stored) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"a": "b", "b": "e"}, {"b": 1, "e": 2, "c": {"d": 3}}),
        ({"a": "b", "b": "a"}, {"b": 1, "a": 2, "c": {"d": 3}}),
        ({"c": "x", "c.d": "y"}, {"a": 1, "b": 2, "x": {}, "y": 3}),
        ({"c.d": "y", "c": "x"}, {"a": 1, "b": 2, "x": {}, "y": 3}),
        ({"c": "x", "a": "x.a"}, {"b": 2, "x": {"d": 3, "a": 1}}),
        ({"a": "x.y.z", "c": "x"}, {"b": 2, "x": {"d": 3, "y": {"z": 1}}}),
        ({"c.d": "b.d", "a": "e"}, None),
    ],
)
def test_renames_take_the_names_of_the_source_in_whatever_order_they_stand(names, expected):
    stored = {"_id": ObjectId(HEX), "a": 1, "b": 2, "c": {"d": 3}}
    if expected is None:
        with pytest.raises(DocumentError, match="already has a field there"):
            transform(rename=names)(stored)
    else:
        assert body(transform(rename=names), stored) == expected


def test_a_rename_onto_something_else_is_the_documents_error_and_loses_nothing():
    with pytest.raises(DocumentError, match="rename of `name`"):
        transform(rename={"name": "address.city"})(document())
    with pytest.raises(DocumentError, match="rename of `address`"):
        transform(rename={"address": "name.full"})(document())


def test_names_that_the_index_keeps_for_itself_are_refused_all_at_once():
    with pytest.raises(SettingsError) as caught:
        transform(rename={"a": "_id", "b": "_source.x", "c": "_mine"})
    named = [problem.split("`")[1] for problem in caught.value.problems]
    assert named == ["_id", "_source.x"]


def test_the_function_sees_bson_values_and_the_id_under_the_sources_names(module):
    module(
        "shapes",
        "def keep(document):\n"
        "    document['types'] = [type(value).__name__ for value in document.values()]\n"
        "    return document\n",
    )
    given = {"_id": ObjectId(HEX), "at": datetime(2024, 1, 2), "price": Decimal128("1.5"), "secret": 1}
    made = transform(function="shapes:keep", exclude=["secret"], rename={"types": "kinds", "price": "cost"})
    assert body(made, given) == {
        "at": "2024-01-02T00:00:00.000000Z",
        "kinds": ["ObjectId", "datetime", "Decimal128"],
        "cost": 1.5,
    }


def test_a_function_may_return_another_document_or_leave_it_out(module):
    module("choices", "def choose(document):\n    return {'n': 1} if document['name'] == 'Ann' else None\n")
    made = transform(function="choices:choose")
    assert body(made) == {"n": 1}
    assert body(made, {"_id": 1, "name": "Bob"}) is None


def test_a_function_that_raises_is_the_documents_error_without_what_it_says_of_the_document(module):
    module("failing", "def fail(document):\n    raise KeyError(document['city'] + 'Nice')\n")
    with pytest.raises(DocumentError) as caught:
        transform(function="failing:fail")({"_id": 1, "city": "Nice"})
    assert str(caught.value) == "function failing:fail raised KeyError in line 2 of failing.py"


def test_a_function_that_ends_the_program_ends_the_document_only(module):
    module("leaving", "import sys\ndef leave(document):\n    sys.exit(document['city'])\n")
    with pytest.raises(DocumentError) as caught:
        transform(function="leaving:leave")({"_id": 1, "city": "Nice"})
    assert str(caught.value) == "function leaving:leave raised SystemExit in line 3 of leaving.py"


def test_a_folder_that_is_no_package_is_named(module, tmp_path):
    (tmp_path / "plain").mkdir()
    module("plain/inner", "def f(document): return document\n")
    with pytest.raises(SettingsError, match=r"plain has no __init__\.py; add one, .*; put plain/inner\.py next to"):
        transform(function="plain.inner:f")


def test_a_function_that_does_not_take_one_argument_is_refused_at_the_start(module):
    module("pairs", "def two(document, other):\n    return document\n")
    with pytest.raises(SettingsError, match="pairs:two: it does not accept one argument, the document"):
        transform(function="pairs:two")


def test_a_function_that_returns_no_document_is_the_documents_error(module):
    module("wrong", "def answer(document):\n    return [document]\n")
    with pytest.raises(DocumentError, match="function wrong:answer returned list; it must return a document or None"):
        transform(function="wrong:answer")(document())


def test_a_function_that_returns_what_has_no_form_is_the_documents_error(module):
    module("sets", "def answer(document):\n    return {'s': {1, 2}}\n")
    with pytest.raises(DocumentError, match="type set"):
        transform(function="sets:answer")(document())


@pytest.mark.parametrize(
    ("text", "function", "cause"),
    [
        (None, "absent_module:f", "ModuleNotFoundError"),
        ("def f(:\n", "broken:f", "SyntaxError"),
        ("raise RuntimeError('no licence')\n", "broken:f", "RuntimeError: no licence"),
        ("import sys\nsys.exit(3)\n", "broken:f", "SystemExit: 3"),
        ("def g(document): ...\n", "broken:f", "has no function of that name"),
        ("f = 5\n", "broken:f", "which is not a function"),
    ],
)
def test_a_function_that_cannot_be_imported_is_refused_at_the_start(module, text, function, cause):
    if text is not None:
        module("broken", text)
    with pytest.raises(SettingsError) as caught:
        transform(function=function)
    message = str(caught.value)
    assert message.startswith(f"collection shop.orders: function {function}: the module {function.split(':')[0]} ")
    assert cause in message


@pytest.mark.parametrize("rules", [{}, {"exclude": ["name"]}])
def test_an_id_too_long_to_be_a_document_id_is_kept_beside(rules):
    long_id = {"path": "x" * 600}
    kept = body(transform(**rules), {"_id": long_id, "a": 1})
    assert kept == {"a": 1, "_penstock": {"id": id_json(long_id)}}


def test_the_fingerprint_tells_every_change_that_shapes_documents(module):
    module("shaping", "def f(document): return document\ndef g(document): return document\n")
    first = [
        transform(),
        transform(include=["a"]),
        transform(exclude=["a"]),
        transform(rename={"a": "b"}),
        transform(function="shaping:f"),
        transform(function="shaping:g"),
    ]
    module("shaping", "def f(document): return helped(document)\ndef helped(document): return document\n")
    changed = transform(function="shaping:f")
    assert len({made.fingerprint for made in [*first, changed]}) == 7
    assert transform(include=["a"]).fingerprint == transform(include=["a"]).fingerprint


def test_the_fingerprint_leaves_out_what_shapes_no_document():
    one = CollectionSettings(namespace="a.b", include=["x"], index="one", shards=1)
    other = CollectionSettings(namespace="a.c", include=["x"], index="two", shards=3)
    assert Transform(one).fingerprint == Transform(other).fingerprint


@pytest.mark.parametrize("given", ["'other'", "1.0", "True", "None"])
def test_an_id_that_a_function_gives_is_refused(module, given):
    module("ids", f"def give(document):\n    document['_id'] = {given}\n    return document\n")
    with pytest.raises(DocumentError, match="function ids:give gave the document another _id"):
        transform(function="ids:give")({"_id": 1, "a": 2})


def test_a_function_may_return_the_id_of_the_source_but_not_change_it_within(module):
    module("ids", "def give(document):\n    return {'_id': document['_id'], 'b': 1}\n")
    assert body(transform(function="ids:give"), {"_id": {"n": 1}, "a": 2}) == {"b": 1}
    module("within", "def give(document):\n    document['_id']['n'] = 2\n    return document\n")
    with pytest.raises(DocumentError, match="another _id"):
        transform(function="within:give")({"_id": {"n": 1}})


def test_only_the_declared_module_of_a_folder_runs(module, tmp_path):
    for name in ("gzip", "shelve", "not_asked_for"):
        module(name, f"open('ran', 'a').write('{name}')\n")
    module("helpers", "def tenth(number):\n    return number / 10\n")
    module(
        "shaping",
        "import helpers, shelve\ndef f(document):\n    document['a'] = helpers.tenth(10)\n    return document\n",
    )
    assert body(transform(function="shaping:f"), {"_id": 1}) == {"a": 1}
    assert not (tmp_path / "ran").exists()
    assert str(tmp_path) not in sys.path


def test_a_function_in_a_package_is_found_with_the_modules_of_the_package(tmp_path, module):
    package = tmp_path / "shapes_of_ours"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "numbers.py").write_text("TEN = 10\n")
    (package / "orders.py").write_text("from .numbers import TEN\ndef f(document):\n    return {'a': TEN}\n")
    assert body(transform(function="shapes_of_ours.orders:f"), {"_id": 1}) == {"a": 10}


def test_a_module_with_the_name_of_another_one_is_refused(module):
    module("colorsys", "def f(document):\n    return document\n")
    with pytest.raises(SettingsError, match="has the name of a module that Python or penstock uses; rename the file"):
        transform(function="colorsys:f")
