"""Where a request comes from, and for which name it was meant.

A page of somebody else may make a browser send requests here. It can also let its own name point to this machine (DNS
rebinding), and then read the answers: so the name in the Host header must be one that is expected.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from penstock.settings import ConsoleSettings
from penstock.settings.checks import EVERY_INTERFACE, host_of, hosts_of, is_loopback

_OF_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)
"""A name or an address, and a port: nothing that could be taken for a path."""


def expected_hosts(settings: ConsoleSettings, listen: str) -> frozenset[str]:
    """Return the names by which the console may be called."""
    host = host_of(listen)
    own = _OF_THIS_MACHINE | {host} if is_loopback(host) else {host}
    return frozenset(own - set(EVERY_INTERFACE) | hosts_of(settings.allowed_hosts))


def is_expected(host: str | None, expected: frozenset[str]) -> bool:
    """Whether a Host header names one of them, with any port."""
    if host is None or not _HOST.fullmatch(host):
        return False
    try:
        return urlsplit(f"//{host}").hostname in expected
    except ValueError:
        return False


def is_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a request that may change something was sent by one of our pages, as browsers say."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return False
    if site is not None and site != "same-origin":
        return False
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def is_of_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site led here: what costs something is not done then."""
    return headers.get("sec-fetch-site") in ("cross-site", "same-site")


def is_embedded_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether another site's page fetches this, rather than somebody following a link."""
    return is_of_another_site(headers) and headers.get("sec-fetch-mode") != "navigate"
