"""The error of a local server."""

from penstock.errors import PenstockError


class LocalServerError(PenstockError):
    """A local server cannot be fetched, compiled or started."""
