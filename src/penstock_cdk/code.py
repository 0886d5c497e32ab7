"""The functions' code: built once per synthesis, in a folder that is deployed as it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from penstock_cdk.collections import Collections
from penstock_tools.bundle import build_functions

Architecture = Literal["x86_64", "arm64"]

PYTHON: Final = "3.13"


@dataclass(frozen=True)
class FunctionsCode:
    """The folder with the functions' code and the settings of all collections, and one with the code alone."""

    with_settings: str
    alone: str

    @classmethod
    def build(cls, folder: Path, collections: Collections, architecture: Architecture = "x86_64") -> Self:
        """Build the code in a folder, which it replaces. Needs the network for packages that uv's cache lacks.

        Raises:
            AssetError: if a package is not available, or the folder contains something else.
        """
        build_functions(folder, architecture=architecture, python=PYTHON)
        return cls.of(folder, collections)

    @classmethod
    def of(cls, folder: Path, collections: Collections) -> Self:
        """Take code that is built already."""
        return cls(collections.add_to(str(folder)), str(folder))
