"""What the package shows to others, and that it costs nothing to import it."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import penstock


def test_the_version_is_that_of_the_installed_package():
    assert penstock.__version__ == version("penstock")


def test_all_public_names_are_there():
    assert penstock.__all__ == ["__version__"]
    assert [name for name in penstock.__all__ if not hasattr(penstock, name)] == []


def test_another_name_is_refused_as_of_any_module():
    with pytest.raises(AttributeError, match="module 'penstock' has no attribute 'run'"):
        penstock.run  # noqa: B018


def test_an_import_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import penstock; print(sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "['penstock']\n"
