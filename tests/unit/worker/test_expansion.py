"""What patterns stand for."""

import pytest
from pydantic import ValidationError

from penstock.model import Namespace
from penstock.settings import CollectionSettings, FoundCollection, Settings
from penstock.worker.collections.expansion import expand, matching


def settings(*collections):
    tables = [{"namespace": each} if isinstance(each, str) else each for each in collections]
    return Settings(collections=tables)


def there(*names):
    return [Namespace.named(each) for each in names]


def stand_for(settings, *names):
    return {name: list(map(str, its)) for name, its in matching(settings, there(*names)).items()}


def served(settings, *names):
    expanded = expand(settings, matching(settings, there(*names)))
    return {each.namespace: each.alias for each in expanded.settings.collections}, dict(expanded.left_out)


def test_a_pattern_stands_for_collections_of_its_database_that_no_other_table_names():
    given = settings("shop.orders_*", "shop.*", "shop.customers", "other.exact")
    names = ["shop.orders_1", "shop.xorders_1", "shop.customers", "shop.a.b", "shopping.cart", "other.y"]
    assert stand_for(given, *names) == {
        "shop.orders_*": ["shop.orders_1"],
        "shop.*": ["shop.a.b", "shop.xorders_1"],
    }


def test_the_heartbeat_is_nobodys_document():
    given = Settings(collections=[{"namespace": "shop.*"}], source={"heartbeat": "shop.beat"})
    assert stand_for(given, "shop.beat", "shop.orders") == {"shop.*": ["shop.orders"]}


def test_signs_of_other_pattern_languages_are_names_like_any_other():
    assert stand_for(settings("shop.a.(b)*"), "shop.axbc", "shop.a.(b)c") == {"shop.a.(b)*": ["shop.a.(b)c"]}


def test_each_collection_has_an_index_of_its_own_and_the_settings_of_the_pattern():
    pattern = {"namespace": "Shop.*", "index": "all-{collection}", "exclude": ["secret"], "shards": 3}
    expanded = expand(settings(pattern), {"Shop.*": there("Shop.Orders")}).settings
    (found,) = expanded.collections
    assert isinstance(found, FoundCollection)
    assert (found.namespace, found.alias, found.pattern) == ("Shop.Orders", "all-orders", "Shop.*")
    assert (found.exclude, found.shards, found.is_pattern) == (("secret",), 3, False)
    assert served(settings("Shop.*"), "Shop.Orders") == ({"Shop.Orders": "shop.orders"}, {})


def test_of_two_collections_for_one_index_the_later_is_left_out_and_both_are_named():
    which, left_out = served(settings("shop.*", {"namespace": "shop.mine", "index": "shop.b"}), "shop.Orders", "shop.B")
    assert which == {"shop.mine": "shop.b", "shop.Orders": "shop.orders"}
    assert left_out == {"shop.B": "shop.mine and shop.B would share the index shop.b"}
    expanded = expand(settings("shop.*"), {"shop.*": there("shop.orders", "shop.Orders")})
    assert list(expanded.left_out) == ["shop.Orders"], "the one that was found first keeps its index"


def test_a_collection_whose_name_no_index_can_have_is_left_out():
    which, left_out = served(settings("shop.*"), "shop.a b", "shop.a*", "shop.ok")
    assert which == {"shop.ok": "shop.ok"}
    assert "must not contain ' '" in left_out["shop.a b"]
    assert "must not contain '*'" in left_out["shop.a*"]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"namespace": "sh*p.orders"}, "names several databases"),
        ({"namespace": "shop.*", "index": "all"}, "must contain {collection}"),
        ({"namespace": "_shop.*"}, "must be given"),
        ({"namespace": "shop.*", "index": "All-{collection}"}, "must be lower case"),
    ],
)
def test_patterns_that_cannot_be(table, problem):
    with pytest.raises(ValidationError, match=problem):
        CollectionSettings(**table)
