"""How results look on terminals and in pipes."""

import typer
from rich.text import Text

from penstock.cli.check import _lines
from penstock.cli.tables import aligned, as_table_or_lists, say, wrapped
from penstock.operations.check.finding import ok, warning

ROWS = [("collection", "index", "state", "in source"), ("shop.orders_of_the_year", "orders", "live", "1,000")]


def test_numbers_stand_to_the_right_and_no_line_ends_in_spaces():
    assert aligned([("a", "n", "b"), ("名前", "1,000", "")], texts=1) == ["a         n  b", "名前  1,000"]


def test_colours_take_no_room():
    red = typer.style("stopped", fg="red")
    assert aligned([("state", "n"), (red, "1")], texts=1) == ["state    n", f"{red}  1"]


def test_what_is_printed_cannot_steer_the_terminal(capsys):
    say("a\x1b]0;title\x07b\x9b\x7f\r\nc\u202ed")
    assert capsys.readouterr().out == "a\\u001b]0;title\\u0007b\\u009b\\u007f\\u000d\\u000ac\\u202ed\n"


def test_what_is_printed_keeps_the_colours_of_commands(monkeypatch):
    said = []
    monkeypatch.setattr(typer, "echo", lambda text, err: said.append((text, err)))
    styled = typer.style("stopped", fg="red", bold=True)
    say(styled)
    assert said == [(styled, False)]


def test_a_row_is_a_line_in_a_pipe_and_where_it_fits():
    lines = list(as_table_or_lists(ROWS, texts=3, width=None))
    assert lines[1] == "shop.orders_of_the_year  orders  live       1,000"
    assert list(as_table_or_lists(ROWS, texts=3, width=len(lines[1]))) == lines


def test_a_row_that_does_not_fit_is_a_list_with_whole_names():
    assert list(as_table_or_lists(ROWS, texts=3, width=40)) == [
        "shop.orders_of_the_year",
        "  index      orders",
        "  state      live",
        "  in source  1,000",
    ]


def test_no_word_is_broken():
    name = "a-very-long.name-of-a-collection-that-is-longer-than-the-line"
    assert wrapped(f"the {name} is there", indent="  ", width=24) == ["  the", f"  {name}", "  is there"]


def test_a_finding_is_a_line_and_what_to_do_another_one_in_a_pipe():
    finding = warning("sink", "a, b: replicas", "1 on 1 data node [x]: " + "long " * 60, "set replicas = 0")
    first, second = (Text.from_ansi(line).plain for line in _lines(finding, width=None))
    assert first.startswith("warning  sink      a, b: replicas: 1 on 1 data node [x]: long")
    assert second == " " * 19 + "to do: set replicas = 0"


def test_a_finding_keeps_to_the_terminal():
    lines = [Text.from_ansi(line).plain for line in _lines(ok("source", "shop.orders", "can be read, " * 20), width=80)]
    assert len(lines) > 3
    assert max(map(len, lines)) <= 80
