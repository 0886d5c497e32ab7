"""The ids of the state documents, spelled here and nowhere else.

A collection is named as it is declared, whatever its name at the source is now.
"""

from penstock.model import Namespace


def pipeline_id(pipeline: str) -> str:
    """Of the lease and the position of a pipeline."""
    return f"pipeline/{pipeline}"


def load_id(collection: Namespace | str, index: str) -> str:
    """Of the load of a collection into one index."""
    return f"load/{collection}/{index}"


def verify_id(collection: Namespace | str, index: str) -> str:
    """Of the verify of a collection against one index."""
    return f"verify/{collection}/{index}"


def pattern_id(pattern: str) -> str:
    """Of what a pattern has found."""
    return f"pattern/{pattern}"


def generations_id(alias: str) -> str:
    """Of the record of a collection, by its read alias."""
    return f"generations/{alias}"
