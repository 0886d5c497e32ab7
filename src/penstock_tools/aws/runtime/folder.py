"""The folder with `awslambdaric`, the program that runs a Python handler on Lambda.

Its versions and checksums are in runtime.lock, which `uv pip compile --universal --generate-hashes --no-header
--no-annotate` makes from the one line `awslambdaric==4.2.2`.
"""

import hashlib
import platform
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

from penstock_tools.servers.errors import LocalServerError

_LOCK = Path(__file__).with_name("runtime.lock")


def runtime_folder(cache: Path) -> Path:
    """Return the folder, installed on the first call. There is one for each lock, interpreter and architecture."""
    kind = f"{platform.python_implementation()}-{sysconfig.get_config_var('SOABI')}-{sysconfig.get_platform()}"
    digest = hashlib.sha256(_LOCK.read_bytes() + kind.encode()).hexdigest()[:16]
    folder = cache / "lambda-runtime" / digest
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="installing-", dir=folder.parent) as staging:
        staged = Path(staging) / "runtime"
        _install(staged)
        _move(staged, folder)
    return folder


def _install(target: Path) -> None:
    if find_spec("uv") is None:
        raise LocalServerError("Lambda's runtime cannot be installed: uv is missing. Install penstock[aws-local]")
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--target", str(target), "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    command += ["--compile-bytecode", "--requirements", str(_LOCK)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise LocalServerError(
            "Lambda's runtime (awslambdaric) cannot be installed. This needs the network once, and a wheel for this "
            f"machine. uv says:\n{done.stderr.strip()}"
        )


def _move(staged: Path, folder: Path) -> None:
    try:
        staged.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process was faster, and it installed the same
            raise
