"""What can go wrong with building a folder."""

from penstock.errors import PenstockError


class AssetError(PenstockError):
    """A folder cannot be built."""
