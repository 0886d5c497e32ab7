"""Searches that a person understands."""

from typing import Any

from rich.table import Table

from penstock_tools.demo.index import DemoIndex

IN_ANOTHER_SCRIPT: dict[str, Any] = {
    "size": 1,
    "query": {"match_phrase": {"names": "東京"}},
    "sort": [{"population": "desc"}],
}

LARGE_IN_INDIA: dict[str, Any] = {
    "size": 5,
    "query": {
        "bool": {
            "filter": [{"term": {"country.code.keyword": "IN"}}, {"range": {"population": {"gte": 3_000_000}}}],
        }
    },
    "sort": [{"population": "desc"}],
}


def table(index: DemoIndex, search: dict[str, Any]) -> Table:
    """Run a search and show what it finds."""
    shown = Table()
    shown.add_column("city")
    shown.add_column("country")
    shown.add_column("population", justify="right")
    shown.add_column("share of the country", justify="right")
    for city in index.search(search):
        share = city.get("share")
        shown.add_row(
            city["name"],
            city["country"]["name"],
            f"{city['population']:,}",
            "" if share is None else f"{share:.2%}",
        )
    return shown
