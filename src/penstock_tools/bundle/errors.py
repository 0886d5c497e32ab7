"""The error of a failed build."""

from penstock.errors import PenstockError


class AssetError(PenstockError):
    """A folder cannot be built."""
