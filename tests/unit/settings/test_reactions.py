"""What a [[reactions]] table may say, and the sentence for what it may not."""

import pytest

from penstock.errors import SettingsError
from penstock.settings import read_settings

WEBHOOK = 'target = "webhook"\nurl = "https://example.com/secret-path"\nsecret = "hush"\n'
TABLE = 'name = "paid"\ncollections = ["shop.orders"]\n'


@pytest.fixture
def read(tmp_path):
    """Read settings with these tables of reactions."""

    def read(*tables, more="", **environ):
        text = more + "".join(f"[[reactions]]\n{each}" for each in tables)
        (tmp_path / "penstock.toml").write_text(text)
        return read_settings(file=tmp_path / "penstock.toml", environ=environ).reactions

    return read


def problems(read, *tables, **more):
    with pytest.raises(SettingsError) as raised:
        read(*tables, **more)
    assert "secret-path" not in str(raised.value)
    assert "hush" not in str(raised.value)
    return raised.value.problems


def test_a_webhook_needs_an_address_and_a_secret(read, tmp_path):
    (reaction,) = read(TABLE + WEBHOOK)
    assert reaction.kinds == ("insert", "update", "replace", "delete")
    (tmp_path / "secret").write_text("hush")
    (by_file,) = read(TABLE + WEBHOOK.replace('secret = "hush"', 'secret_file = "secret"'))
    assert by_file.secret_file == tmp_path / "secret"


def test_the_secret_may_come_from_the_environment(read):
    table = 'name = "paid-orders"\ncollections = ["shop.orders"]\ntarget = "webhook"\nurl = "https://example.com"\n'
    (reaction,) = read(table, PENSTOCK_REACTION_PAID_ORDERS_SECRET="hush")
    assert reaction.secret.get_secret_value() == "hush"
    (problem,) = problems(read, table, PENSTOCK_REACTION_PAID_ORDER_SECRET="hush")[:1]
    assert problem.endswith("is not a setting; did you mean PENSTOCK_REACTION_PAID_ORDERS_SECRET?")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (TABLE + 'target = "webhook"\nurl = "https://example.com"\n', "paid is a webhook and needs one secret"),
        (TABLE + 'target = "webhook"\nsecret = "hush"\n', 'paid has target = "webhook", which needs url'),
        (TABLE + WEBHOOK + 'bus = "b"\n', 'paid has target = "webhook", which takes no bus; remove it'),
        (TABLE + 'target = "function"\n', 'has target = "function", which needs function'),
        (TABLE + 'target = "eventbridge"\n', 'has target = "eventbridge", which needs bus'),
        (TABLE + 'target = "queue"\n', "target must be one of 'webhook', 'function' or 'eventbridge'"),
        (TABLE + WEBHOOK.replace("https:", "ftp:"), "url must look like https://host:port/path"),
        (TABLE + WEBHOOK.replace("https://", "https://me:hush@"), "url must not contain a user or password"),
        (TABLE + WEBHOOK + "kinds = []\n", "kinds must name at least one"),
        (TABLE + WEBHOOK + 'kinds = ["drop"]\n', "kinds must be one of"),
        (TABLE + WEBHOOK + "wehre = {}\n", "paid: wehre is not a setting; did you mean where?"),
        (TABLE.replace("paid", "Paid!") + WEBHOOK, "name must be 1 to 64 lower case letters"),
        (TABLE.replace("orders", "*") + WEBHOOK, "names the pattern shop.*"),
        (TABLE.replace('"]', '", "crm.people"]') + WEBHOOK, "are of several databases (crm, shop)"),
        (TABLE.replace('["shop.orders"]', "[]") + WEBHOOK, "must name at least one collection"),
        (TABLE.replace('"]', '", "shop.orders"]') + WEBHOOK, "names shop.orders twice"),
        (TABLE + WEBHOOK + "after_index = true\n", "after_index = true needs a [[collections]] table for shop.orders"),
        (TABLE + WEBHOOK + "start = 2026-11-29T12:00:00\n", "start"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_reaction(read, table, said):
    assert any(said in each for each in problems(read, table)), problems(read, table)


def test_two_reactions_must_not_be_taken_for_each_other(read):
    twice = problems(read, TABLE + WEBHOOK, TABLE + WEBHOOK)
    assert twice == ("[[reactions]] paid is declared twice; give each reaction a name of its own",)
    near = problems(read, TABLE.replace("paid", "a-b") + WEBHOOK, TABLE.replace("paid", "a_b") + WEBHOOK)
    assert near == ("[[reactions]] a-b and a_b would share PENSTOCK_REACTION_A_B_SECRET; rename one of them",)


def test_a_cursor_of_one_collection_sees_only_that_one(read):
    more = '[source]\ncursor_per = "collection"\n'
    assert len(read(TABLE + WEBHOOK, more=more)) == 1
    (problem,) = problems(read, TABLE.replace('"]', '", "shop.items"]') + WEBHOOK, more=more)
    assert "a reaction can have one collection only" in problem


def test_reactions_are_tables(read, tmp_path):
    (tmp_path / "penstock.toml").write_text("[reactions]\n")
    with pytest.raises(SettingsError, match=r"reactions must be written as \[\[reactions\]\] tables"):
        read_settings(file=tmp_path / "penstock.toml")
