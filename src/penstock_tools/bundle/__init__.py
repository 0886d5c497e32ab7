"""Builds the folders to deploy: the packages in the lock files, penstock's own package, nothing unused.

build     what goes into which folder
packages  third-party packages, for any architecture, without Docker
drop      what is left out, with the reasons
stable    the same bytes every time
lock      `python -m penstock_tools.bundle.lock` renews functions.lock, operations.lock and image.lock

`python -m penstock_tools.bundle FOLDER` builds all of them and prints their sizes.
"""

from penstock_tools.bundle.build import ARCHITECTURES, build_functions, build_local, build_operations
from penstock_tools.bundle.errors import AssetError
from penstock_tools.bundle.stable import digest

__all__ = ["ARCHITECTURES", "AssetError", "build_functions", "build_local", "build_operations", "digest"]
