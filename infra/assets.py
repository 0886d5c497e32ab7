"""The code to deploy: built once per synthesis, or named by the context."""

from pathlib import Path
from typing import Final, NamedTuple

from constructs import Node

from infra.configuration import Configuration
from penstock_cdk.code import PYTHON, FunctionsCode
from penstock_tools.bundle import build_operations

CONTEXT_KEY: Final = "asset_folder"
"""A folder that already contains `functions` and `operations`: nothing is built then."""

BUILT: Final = Path(__file__).parents[1] / ".assets"


class Assets(NamedTuple):
    """The code of the functions, and the folder with the code of the task, without settings."""

    functions: FunctionsCode
    operations: str


def assets(node: Node, configuration: Configuration) -> Assets:
    """Build both folders, or return those that the context names; the functions' with the settings.

    Raises:
        AssetError: if a package is not available.
    """
    architecture, collections = configuration.architecture, configuration.synced
    given = node.try_get_context(CONTEXT_KEY)
    folder = Path(given) if given else BUILT / architecture
    operations = folder / "operations"
    if given:
        functions = FunctionsCode.of(folder / "functions", collections)
    else:
        functions = FunctionsCode.build(folder / "functions", collections, architecture)
        build_operations(operations, architecture=architecture, python=PYTHON)
    return Assets(functions, str(operations))
