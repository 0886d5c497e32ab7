"""The folder for what is fetched or compiled once."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `penstock` in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "penstock"
