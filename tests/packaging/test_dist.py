"""What `make dist` builds: what is in it, and that a wheel alone makes a working penstock."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from uv import find_uv_bin

import penstock
import penstock_cdk
import penstock_tools

CLONE = Path(__file__).parents[2]


def built(target: Path, *kind: str, clone: Path = CLONE) -> Path:
    """Build one distribution of a clone, with the tools that are here already."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", *kind, "--directory", str(target)]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that holds the wheel, and what it needs at the pinned versions."""
    environment = tmp_path_factory.mktemp("environment")
    python = str(environment / "bin" / "python")
    for arguments in (
        ["venv", "--python", sys.executable, str(environment)],
        ["pip", "install", "--python", python, "--constraints", str(CLONE / "requirements.lock"), f"{wheel}[local]"],
    ):
        done = subprocess.run([find_uv_bin(), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return environment / "bin"


@pytest.fixture
def run(installed: Path, tmp_path: Path):
    """Run the installed penstock in an empty folder."""

    def run(*arguments: str, code: int = 0) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PYTHON"))}
        done = subprocess.run(
            [installed / "penstock", *arguments], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def files_of(package) -> set[str]:
    """The files of a package in the clone, as a wheel names them."""
    folder = Path(package.__file__).parent
    return {
        str(each.relative_to(folder.parent)) for each in folder.rglob("*.*") if each.is_file() and each.suffix != ".pyc"
    }


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == files_of(penstock) | files_of(penstock_cdk) | files_of(penstock_tools)
    assert held >= {
        "penstock/py.typed",
        "penstock/aws/global-bundle.pem",
        "penstock/console/templates/layout.html",
        "penstock/console/static/console.css",
        "penstock/console/static/vendored/htmx-2.0.11.min.js",
        "penstock/console/static/vendored/htmx.LICENSE",
        "penstock_tools/servers/jars.lock",
        "penstock_tools/servers/java/source/SourceServer.java",
        "penstock_tools/bundle/functions.lock",
        "penstock_tools/aws/runtime/runtime.lock",
    }


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(built(tmp_path / "sdist", "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (clone,) = tmp_path.glob("penstock-*")
    again = built(tmp_path / "wheel", "wheel", clone=clone)
    assert (again.name, again.read_bytes()) == (wheel.name, wheel.read_bytes())
    assert {each.name for each in clone.iterdir()} >= {"tests", "testkit", "requirements.lock", "Makefile", "docs"}


def test_what_is_installed_writes_settings_and_checks_them(run, source_uri, sink_url, database) -> None:
    assert run("--version") == f"penstock {version('penstock')}\n"
    database.items.insert_one({"a": 1})
    assert "run: penstock check" in run("init", "--source-uri", source_uri, "--sink-url", sink_url)
    assert f"{database.name}.items" in run("check", "--collection", f"{database.name}.items")
    assert "34,006 cities" in run("demo", "--help")


def test_without_its_extra_the_console_says_what_to_install(run) -> None:
    assert "install it with: pip install 'penstock[console]'" in run("console", "--collection", "a.b", code=2)


def test_without_its_tools_the_product_says_what_is_not_there(run, installed: Path) -> None:
    (tools,) = installed.parent.glob("lib/python*/site-packages/penstock_tools")
    hidden = tools.rename(installed.parent / "penstock_tools")
    try:
        assert "not part of this installation, which lacks penstock_tools" in run("demo", "--once", code=2)
    finally:
        shutil.move(hidden, tools)
