"""The code to deploy: built once per synthesis, in a folder that is passed on as it is."""

from pathlib import Path
from typing import Final, NamedTuple

from constructs import Node

from infra.configuration import Configuration
from penstock_tools.bundle import build_functions, build_operations

CONTEXT_KEY: Final = "asset_folder"
"""A folder that already contains `functions` and `operations`: nothing is built then."""

PYTHON: Final = "3.13"

BUILT: Final = Path(__file__).parents[2] / ".assets"


class Assets(NamedTuple):
    """The folders with the code of the functions and of the task, and the functions' code without any settings."""

    functions: str
    operations: str
    shared: str


def assets(node: Node, configuration: Configuration) -> Assets:
    """Build both folders, or return those that the context names; with the settings of several collections.

    Raises:
        AssetError: if a package is not available.
    """
    architecture, collections = configuration.architecture, configuration.collections
    given = node.try_get_context(CONTEXT_KEY)
    folder = Path(given) if given else BUILT / architecture
    shared = str(folder / "functions")
    found = Assets(shared, str(folder / "operations"), shared)
    if not given:
        build_functions(Path(found.functions), architecture=architecture, python=PYTHON)
        build_operations(Path(found.operations), architecture=architecture, python=PYTHON)
    if not collections.tables:
        return found
    return Assets(collections.add_to(found.functions), collections.add_to(found.operations), shared)
