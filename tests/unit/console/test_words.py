"""How numbers, times and names are written on pages."""

from datetime import UTC, datetime

import pytest

from penstock.console.words import breakable, coded, number, percent, rate, seconds, version_time, when


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.04, "0.0 s"), (9.94, "9.9 s"), (59, "59 s"), (61, "1 min"), (3600, "1 h"), (9000, "2 h 30 min")],
)
def test_seconds(value, text):
    assert seconds(value) == text


def test_numbers():
    assert [number(None), number(0), number(1234567)] == ["-", "0", "1,234,567"]
    assert [rate(None), rate(0), rate(0.44), rate(12.3), rate(5000)] == ["-", "0", "0.4", "12", "5,000"]
    assert [percent(None), percent(0.474)] == ["-", "47 %"]
    assert seconds(200_000) == "2 days"


def test_times_have_their_zone():
    assert when(datetime(2026, 11, 29, 21, 4, 5, tzinfo=UTC)) == "2026-11-29 21:04:05 UTC"
    assert when(0) == "1970-01-01 00:00:00 UTC"
    assert version_time(5 << 32) == "1970-01-01 00:00:05 UTC"
    assert version_time(None) == when(None) == "-"


def test_names_between_backquotes_are_code_and_all_else_is_text():
    assert coded("set `a<b` & `c`, <i>") == "set <code>a&lt;b</code> &amp; <code>c</code>, &lt;i&gt;"


def test_names_break_where_they_have_a_sign():
    assert breakable("shop.big_orders-2<b>") == "shop.<wbr>big_<wbr>orders-<wbr>2&lt;b&gt;"
