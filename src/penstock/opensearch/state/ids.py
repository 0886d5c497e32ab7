"""The ids of the state documents, defined only here.

A collection appears under its declared name, even if it has another name at the source now.
"""

from penstock.model import Namespace


def pipeline_id(pipeline: str) -> str:
    """Return the id of the lease and the position of a pipeline."""
    return f"pipeline/{pipeline}"


def reaction_id(reaction: str, deployment: str | None) -> str:
    """Return the id of the lease and the position of a reaction; its dead letters and metrics go by it too."""
    return f"reaction/{deployment}/{reaction}" if deployment else f"reaction/{reaction}"


def load_id(collection: Namespace | str, index: str) -> str:
    """Return the id of the load of a collection into an index."""
    return f"load/{collection}/{index}"


def load_share_id(collection: Namespace | str, index: str, partition: int) -> str:
    """Return the id of how far the tasks of a load in one partition of its topic have come."""
    return f"{load_id(collection, index)}/{partition}"


def verify_id(collection: Namespace | str, index: str) -> str:
    """Return the id of the verify of a collection against an index."""
    return f"verify/{collection}/{index}"


def index_id(index: str) -> str:
    """Return the id of the note of an index as it was first used."""
    return f"index/{index}"


def group_id(group: str) -> str:
    """Return the id of where a consumer group was in topics that others fill."""
    return f"group/{group}"


def pattern_id(pattern: str, deployment: str | None) -> str:
    """Return the id of the collections that a pattern has found at the source of a deployment."""
    return f"pattern/{deployment}/{pattern}" if deployment else f"pattern/{pattern}"


def unserved_id(table: str, deployment: str | None) -> str:
    """Return the id of what a deployment cannot serve of a table: a collection, or what matches its pattern."""
    return f"unserved/{deployment}/{table}" if deployment else f"unserved/{table}"


def generations_id(alias: str) -> str:
    """Return the id of the record of a collection, given its read alias."""
    return f"generations/{alias}"


def job_id(kind: str, subject: str, deployment: str | None) -> str:
    """Return the id of what somebody started on a page: its lease, its progress and the results of those before."""
    return f"job/{deployment}/{kind}/{subject}" if deployment else f"job/{kind}/{subject}"


def jobs_id(deployment: str | None) -> str:
    """Return the id of the list of the jobs that are to be done."""
    return f"jobs/{deployment}" if deployment else "jobs"


def activity_id(deployment: str | None) -> str:
    """Return the id of the log of who did what on the pages."""
    return f"activity/{deployment}" if deployment else "activity"


def workers_id(deployment: str | None) -> str:
    """Return the id of the list of a deployment's worker processes."""
    return f"workers/{deployment}" if deployment else "workers"


def worker_id(worker: str) -> str:
    """Return the id of what a worker process writes each second."""
    return f"worker/{worker}"


def samples_id(pipeline: str, part: str) -> str:
    """Return the id of a part of a pipeline's history: an hour (`h480123`), a day (`d20005`), or the `list` of them."""
    return f"samples/{pipeline}/{part}"
