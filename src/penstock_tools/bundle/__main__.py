"""`python -m penstock_tools.bundle FOLDER`: builds all folders and prints their sizes."""

import sys
from pathlib import Path

from penstock_tools.bundle import ARCHITECTURES, build_functions, build_operations, digest


def main(folder: Path) -> None:
    """Build functions and operations for each architecture."""
    for architecture in ARCHITECTURES:
        for name, build in (("functions", build_functions), ("operations", build_operations)):
            built = folder / f"{name}-{architecture}"
            build(built, architecture=architecture)
            size = sum(path.stat().st_size for path in built.rglob("*") if path.is_file())
            print(f"{built}  {size / 1e6:.1f} MB  {digest(built)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
