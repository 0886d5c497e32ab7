"""The deployed folders, built for real: the packages come from uv's cache, or from the network once."""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from penstock_tools.bundle import ARCHITECTURES, AssetError, build_functions, build_local, build_operations, digest
from penstock_tools.bundle.packages import FUNCTIONS_LOCK, IMAGE_LOCK, OPERATIONS_LOCK, Target, install

ELF_MACHINE = {"x86_64": 0x3E, "arm64": 0xB7}
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.M)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def functions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An architecture and its functions' folder."""
    folder = tmp_path_factory.mktemp("asset") / "functions"
    build_functions(folder, architecture=request.param)
    return request.param, folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asset") / "local"
    build_local(folder)
    return folder


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built for this machine's Python, so that it can be run."""
    folder = tmp_path_factory.mktemp("asset") / "operations"
    build_operations(folder, architecture=this_architecture(), python=this_python())
    return folder


def this_architecture() -> str:
    return "arm64" if os.uname().machine == "aarch64" else "x86_64"


def this_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def run(folder: Path, program: str, *words: str) -> str:
    """Run a program that can import what is in the folder and the standard library, and nothing else."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"
    command = [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", start, *words]
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


class TestEachArchitecture:
    def test_every_compiled_module_is_of_that_architecture_and_of_one_python(self, functions):
        architecture, folder = functions
        compiled = [path for path in folder.rglob("*.so*") if path.is_file()]
        assert {path.parent.name for path in compiled} >= {"bson", "pymongo", "orjson", "pydantic_core"}
        for path in compiled:
            assert struct.unpack_from("<H", path.read_bytes(), 18) == (ELF_MACHINE[architecture],), path
            assert "cpython-313" in path.name

    def test_it_is_small(self, functions):
        _, folder = functions
        assert size_mb(folder) < 20

    def test_a_second_build_over_the_first_is_the_same_to_the_byte(self, functions):
        architecture, folder = functions
        before = digest(folder)
        build_functions(folder, architecture=architecture)
        assert digest(folder) == before

    def test_it_holds_the_handlers_place_and_the_ca_bundle_but_nothing_for_one_machine(self, functions):
        _, folder = functions
        inside = names(folder)
        assert {"penstock/lambdas/__init__.py", "penstock/aws/global-bundle.pem", "penstock/wiring.py"} <= set(inside)
        ours = {name.split("/")[1] for name in inside if name.startswith("penstock/")}
        assert "cli" not in ours
        assert not [name for name in inside if name.startswith("penstock_tools")]

    def test_nothing_is_left_of_tests_commands_caches_and_installers(self, functions):
        _, folder = functions
        unwanted = re.compile(
            r"(^|/)(bin|tests?|__pycache__)/|\.pyc$|\.pyi$|RECORD$|direct_url|^(typer|rich|boto3|dns)/"
        )
        assert [name for name in names(folder) if unwanted.search(name)] == []

    def test_the_licences_stay(self, functions):
        _, folder = functions
        for metadata in folder.glob("*.dist-info"):
            licences = [name for name in names(metadata) if re.search("LICEN[CS]E|NOTICE|COPYING", name)]
            assert licences or metadata.name.startswith("penstock-"), metadata.name


class TestTheLocalFolder:
    def test_every_module_can_be_imported_with_nothing_else_on_the_path(self, local):
        said = run(
            local,
            "import importlib, pkgutil, penstock\n"
            "for module in pkgutil.walk_packages(penstock.__path__, 'penstock.'):\n"
            "    importlib.import_module(module.name)\n"
            "files = [getattr(module, '__file__', None) or '' for module in sys.modules.values()]\n"
            "print([file for file in files if 'site-packages' in file])\n"
            "print([m for m in sys.modules if m.startswith('penstock.')])\n"
            "import bson, pymongo\n"
            "print(bson.has_c(), pymongo.has_c())",
        )
        outside, ours, compiled = said.splitlines()
        assert outside == "[]"
        for name in (
            "penstock.opensearch.write.sink",
            "penstock.mongo.stream",
            "penstock.aws.sigv4",
            "penstock.lambdas",
        ):
            assert repr(name) in ours
        assert compiled == "True True"

    def test_botocore_makes_the_clients_we_use_and_no_others(self, local):
        said = run(
            local,
            "import botocore.session, botocore.exceptions\n"
            "session = botocore.session.get_session()\n"
            "session.set_credentials('key', 'secret')\n"
            "for name in 'events', 'secretsmanager', 'sqs', 'sts':\n"
            "    client = session.create_client(name, region_name='eu-central-1')\n"
            "    print(client.meta.endpoint_url)\n"
            "    client.close()\n"
            "print(session.get_available_services())",
        )
        assert said.splitlines() == [
            "https://events.eu-central-1.amazonaws.com",
            "https://secretsmanager.eu-central-1.amazonaws.com",
            "https://sqs.eu-central-1.amazonaws.com",
            "https://sts.eu-central-1.amazonaws.com",
            "['events', 'secretsmanager', 'sqs', 'sts']",
        ]

    def test_the_authorities_are_found_and_the_version_is_known(self, local):
        said = run(
            local,
            "from importlib.metadata import version\n"
            "from penstock.aws import ca_bundle\n"
            "print(ca_bundle.path())\n"
            "print(version('penstock'), version('pymongo'))",
        )
        bundle = local / "penstock" / "aws" / "global-bundle.pem"
        assert said.splitlines() == [str(bundle), f"{version('penstock')} 4.13.2"]

    def test_its_files_have_one_time_and_one_mode(self, local):
        assert {path.stat().st_mtime for path in local.rglob("*")} == {315_576_000}
        assert {oct(path.stat().st_mode) for path in local.rglob("*")} == {"0o40755", "0o100644"}


class TestOperations:
    def test_the_command_line_runs(self, operations):
        start = "from penstock.cli import main; sys.argv[0] = 'penstock'; main()"
        assert run(operations, start, "--version") == f"penstock {version('penstock')}\n"
        assert "status" in run(operations, start, "--help")

    def test_it_is_small_and_holds_nothing_for_one_machine(self, operations):
        assert size_mb(operations) < 27
        inside = names(operations)
        assert "cli" in {name.split("/")[1] for name in inside if name.startswith("penstock/")}
        assert not [name for name in inside if name.startswith("penstock_tools")]


class TestLocks:
    def test_what_is_deployed_is_what_is_tested(self):
        tested = dict(PINNED.findall(Path(__file__).parents[3].joinpath("requirements.lock").read_text()))
        locks = (FUNCTIONS_LOCK, OPERATIONS_LOCK, IMAGE_LOCK)
        functions, operations, image = (dict(PINNED.findall(lock.read_text())) for lock in locks)
        assert {name: tested.get(name) for name in image} == image
        assert functions.items() <= operations.items() <= image.items()
        assert {"starlette", "uvicorn", "opentelemetry-exporter-otlp-proto-http"} <= image.keys()
        assert functions["pymongo"] == "4.13.2"

    @pytest.mark.parametrize("lock", [FUNCTIONS_LOCK, OPERATIONS_LOCK, IMAGE_LOCK], ids=lambda lock: lock.stem)
    def test_a_lock_holds_hashes_and_no_addresses(self, lock):
        text = lock.read_text()
        assert "://" not in text
        assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z])", text)[1:])

    @pytest.mark.parametrize("python", ["3.11", "3.12"])
    def test_older_pythons_are_covered_too(self, python, tmp_path):
        install(tmp_path, OPERATIONS_LOCK, Target(python, ARCHITECTURES["arm64"]))
        assert list(tmp_path.glob(f"orjson/*cpython-{python.replace('.', '')}-aarch64*"))


class TestRefusals:
    def test_a_package_that_is_not_the_pinned_one(self, tmp_path):
        lock = tmp_path / "other.lock"
        lock.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
        with pytest.raises(AssetError, match=r"(?s)other\.lock cannot be installed.*six"):
            install(tmp_path / "folder", lock, Target("3.13", None))

    @pytest.mark.parametrize("build", [build_functions, build_operations])
    def test_an_unknown_architecture(self, build: Callable[..., None], tmp_path):
        with pytest.raises(AssetError, match=r"'riscv'.*x86_64, arm64"):
            build(tmp_path / "folder", architecture="riscv")

    def test_a_folder_that_holds_something_else(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(AssetError, match="name another folder"):
            build_functions(tmp_path, architecture="arm64")
        assert names(tmp_path) == ["thesis.txt"]
