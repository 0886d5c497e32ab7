"""What can go wrong with the servers on this machine."""

from penstock.errors import PenstockError


class LocalServerError(PenstockError):
    """A local server cannot be fetched, compiled or started."""
