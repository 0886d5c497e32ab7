"""The files that are left out of a folder: a table with the reasons."""

import re
from pathlib import Path
from typing import Final, NamedTuple


class Dropped(NamedTuple):
    """Paths to leave out: those, relative to the folder, that the pattern matches from the start."""

    pattern: str
    why: str


_SERVICES: Final = "events|secretsmanager|sqs|sts"
"""The services that penstock calls with botocore; with sts, a task or web identity gets its role's credentials."""

DROPPED: Final = (
    Dropped(r"bin/", "commands for a shell; nothing runs them here"),
    Dropped(r"(.*/)?__pycache__/", "compiled by another Python than the one that will run"),
    Dropped(r"(.*/)?tests?/", "packages' own tests"),
    Dropped(r".*\.(pyi|c|h|pyx|pxd)$", "for type checkers and compilers"),
    Dropped(r"(.*/)?py\.typed$", "for type checkers"),
    Dropped(
        r"[^/]+\.dist-info/(?!METADATA$|.*(LICEN[CS]E|NOTICE|COPYING))",
        "for installers; importlib.metadata reads METADATA, and the licences stay with the code",
    ),
    Dropped(
        rf"botocore/data/(?!({_SERVICES})/)[^/]+/",
        "descriptions of services that are not called: 27 MB of 28",
    ),
    Dropped(r"botocore/data/.*/examples-1\.json", "for botocore's documentation"),
    Dropped(r"dns/|dnspython-", "pymongo needs it for mongodb+srv:// only, which DocumentDB does not have"),
    Dropped(r"gridfs/", "files in MongoDB; a part of pymongo that the driver itself does not import"),
    Dropped(r"\.lock$", "uv's own"),
)
_DROPPED = re.compile("|".join(f"(?:{each.pattern})" for each in DROPPED))
_VERSION_OF_EXTENSION = re.compile(r"\.cpython-(\d+)-")


def is_dropped(path: Path, python: str) -> bool:
    """Whether the file, relative to the folder, is left out for this version of Python."""
    extension = _VERSION_OF_EXTENSION.search(path.name)
    for_another_python = extension is not None and extension[1] != python.replace(".", "")
    return for_another_python or _DROPPED.match(path.as_posix()) is not None
