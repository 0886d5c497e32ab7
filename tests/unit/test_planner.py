"""Which pipelines there are, by what is declared and what is recorded."""

import json

import pytest

from penstock.documents.transform import Transform
from penstock.errors import SettingsError
from penstock.model import Namespace
from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.state.generations import CollectionRecord
from penstock.planner import Planner
from penstock.settings import CollectionSettings, PipelineSettings, Settings, SourceSettings

ORDERS = {"namespace": "shop.orders"}


def recipe(**settings):
    declared = CollectionSettings(**{**ORDERS, **settings})
    return IndexDefinition.of(declared, Transform(declared))


def planner(*collections, **source):
    return Planner(Settings(collections=collections, source=SourceSettings(**source)))


def fed(plans):
    return {plan.name: [(str(each.namespace), each.number) for each in plan.collections] for plan in plans}


def record(*roles):
    made = CollectionRecord("shop.orders", "shop.orders")
    for role in roles:
        made = made.added(recipe(), role)
    return made


def test_first_generations_share_a_cursor_and_later_ones_have_their_own():
    both = planner(ORDERS, {"namespace": "shop.customers"})
    assert fed(both.plans({})) == {"shop": [("shop.customers", 1), ("shop.orders", 1)]}
    assert fed(both.plans({"shop.orders": record("serving", "building")})) == {
        "shop": [("shop.customers", 1), ("shop.orders", 1)],
        "generation/shop.orders-g2": [("shop.orders", 2)],
    }


def test_a_deployment_has_pipelines_of_its_own():
    named = Planner(Settings(collections=[ORDERS], pipeline=PipelineSettings(name="blue")))
    plans = named.plans({"shop.orders": record("serving", "building")})
    assert list(fed(plans)) == ["blue/shop", "generation/shop.orders-g2"]


def test_what_is_dropped_is_not_fed_and_an_empty_cursor_is_none():
    one = planner(ORDERS)
    assert fed(one.plans({"shop.orders": record("dropping", "serving")})) == {
        "generation/shop.orders-g2": [("shop.orders", 2)]
    }


def test_a_generation_that_failed_is_not_fed_until_it_serves_again():
    failed = record("serving", "building").changed(2, failed="too many dead letters")
    assert fed(planner(ORDERS).plans({"shop.orders": failed})) == {"shop": [("shop.orders", 1)]}
    assert "generation/shop.orders-g2" in fed(planner(ORDERS).plans({"shop.orders": failed.served_by(2)}))


@pytest.mark.parametrize("cursor_per", ["database", "collection"])
def test_a_generation_of_its_own_is_watched_by_the_kind_of_cursor_that_rights_allow(cursor_per):
    *_, alone = planner(ORDERS, cursor_per=cursor_per).plans({"shop.orders": record("serving", "building")})
    assert (alone.watch.colls, alone.watch.own) == (("orders",), "orders" if cursor_per == "collection" else None)


def test_a_generation_is_fed_as_it_was_made_unless_it_is_the_only_one_and_loaded_again():
    now = planner({**ORDERS, "exclude": ["secret"], "shards": 2})
    (before,) = now.plans({"shop.orders": record("serving")})
    assert before.collections[0].settings.exclude == ()
    (renewed,) = now.plans({"shop.orders": record("serving")}, renewed={Namespace("shop", "orders")})
    assert renewed.collections[0].settings.exclude == ("secret",)
    assert renewed.collections[0].recipe.moved_on(now.declared[0].recipe) == ["shards"]
    several, _ = now.plans({"shop.orders": record("serving", "kept")}, renewed={Namespace("shop", "orders")})
    assert several.collections[0].settings.exclude == ()


def test_a_process_with_other_code_does_not_make_a_new_index(tmp_path, monkeypatch):
    (tmp_path / "shaping_of_plans.py").write_text("def shaped(document):\n    return document\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = "shaping_of_plans:shaped"
    made = recipe(function=function)
    other = IndexDefinition(made.settings, "another", made.mapping)
    records = {"shop.orders": record("serving").added(other, "building")}
    *_, alone = planner({**ORDERS, "function": function}).plans(records)
    assert (alone.collections, "was built with other code" in alone.problem) == ((), True)
    records = {"shop.orders": record("serving").added(other, "building").served_by(2)}
    *_, alone = planner({**ORDERS, "function": function}).plans(records)
    assert (len(alone.collections), alone.problem) == (1, "")


def test_a_function_that_is_gone_keeps_only_its_own_generation_from_being_fed():
    gone = IndexDefinition({**recipe().settings, "function": "nowhere:shaped"}, "a", "b")
    shared, alone = planner(ORDERS).plans({"shop.orders": record("serving").added(gone, "building")})
    assert (shared.problem, "nowhere cannot be imported" in alone.problem) == ("", True)


def test_a_recipe_tells_what_has_moved_on(tmp_path):
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({"mappings": {"properties": {"a": {"type": "long"}}}}))
    assert recipe().moved_on(recipe(replicas=0)) == []
    assert recipe().moved_on(recipe(rename={"a": "b"}, mapping_file=mapping)) == ["mapping_file", "rename"]
    before = recipe(mapping_file=mapping)
    mapping.write_text(mapping.read_text() + "\n")
    assert before.moved_on(recipe(mapping_file=mapping)) == []
    assert before.applied_to(CollectionSettings(**ORDERS)).mapping_file is None


def test_a_recipe_is_the_same_when_it_is_read_back():
    made = recipe(rename={"a": "b"}, include=["a"])
    assert IndexDefinition(**json.loads(json.dumps(made.__dict__))) == made


def test_a_pipeline_keeps_its_name_when_its_collection_is_renamed_and_feeds_it_from_the_new_one():
    renamed = record("serving").renamed("moved", 5)
    for cursor_per, name in (("database", "shop"), ("collection", "shop.orders")):
        (plan,) = planner(ORDERS, cursor_per=cursor_per).plans({"shop.orders": renamed})
        assert (plan.name, str(plan.collections[0].namespace), str(plan.collections[0].source)) == (
            name,
            "shop.orders",
            "shop.moved",
        )
        (before,) = planner(ORDERS, cursor_per=cursor_per).plans({"shop.orders": record("serving")})
        assert not plan.is_like(before)


def test_a_rename_that_is_told_late_changes_nothing():
    renamed = record("serving").renamed("moved", 5)
    assert renamed.renamed("moved", 5) == renamed.renamed("else", 4) == renamed
    assert renamed.renamed("orders", 6).names == (("moved", 5), ("orders", 6))


def test_a_table_for_the_name_that_another_one_was_followed_to_is_refused():
    both = planner(ORDERS, {"namespace": "shop.moved"})
    with pytest.raises(
        SettingsError, match=r"shop.orders: the collection was renamed to shop.moved.* remove one of the two"
    ):
        both.plans({"shop.orders": record("serving").renamed("moved", 5)})
    assert both.plans({"shop.orders": record("serving").renamed("moved", 5).renamed("orders", 6)})
