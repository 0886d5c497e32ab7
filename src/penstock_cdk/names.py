"""Names of a collection's parts."""

import re
from hashlib import sha256
from typing import Final, Literal

_READABLE: Final = 30
"""Lambda takes 64 characters for the name of a function."""

MOST_FUNCTIONS: Final = 30
"""A stack has 500 resources; a sync function with its role, log, settings, mapping and alarms is 13 of them."""

Cpu = Literal[256, 512, 1024, 2048, 4096]
CPUS: Final[tuple[Cpu, ...]] = (256, 512, 1024, 2048, 4096)
"""What a task on Fargate may have; each may have twice as many MB of memory."""


def short(namespace: str) -> str:
    """Return eight characters that stand for a collection in the template."""
    return sha256(namespace.encode()).hexdigest()[:8]


def readable(namespace: str) -> str:
    """Return `shop-orders-1a2b3c4d` for `shop.orders`: what names may hold, and no other collection has."""
    words = re.sub("[^a-z0-9]+", "-", namespace.lower())[:_READABLE].strip("-")
    return f"{words}-{short(namespace)}"
