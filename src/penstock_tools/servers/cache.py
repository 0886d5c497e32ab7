"""The folder for files that are fetched or compiled once."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder `penstock` in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "penstock"
