"""Counts of things, as people write them."""


def counted(number: int, thing: str) -> str:
    """Return `1 document`, `1,000 documents`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
