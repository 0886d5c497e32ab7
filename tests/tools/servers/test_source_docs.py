"""docs/internals/local-source.md says what the code does."""

import re
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_DOC = (_ROOT / "docs" / "internals" / "local-source.md").read_text()
_JAVA = _ROOT / "src" / "penstock_tools" / "servers" / "java" / "source"


def test_every_flag_of_the_server_is_documented_and_no_other():
    in_code = set(re.findall(r'"(--[a-z-]+)"', (_JAVA / "ServerOptions.java").read_text()))
    assert set(re.findall(r"`(--[a-z-]+)`", _DOC)) == in_code


def test_every_fault_on_demand_is_documented():
    code = (_JAVA / "FaultCommands.java").read_text()
    handler = code[code.index("private Document penstockSource") :]
    fields = set(re.findall(r'(?:has|flag|get)\("([a-zA-Z]+)"\)', handler))
    assert fields
    assert all(f"| `{field}` |" in _DOC for field in fields)


def test_every_difference_from_the_record_is_documented_with_its_reason():
    listed = tomllib.loads((_ROOT / "tests" / "tools" / "record" / "differences.toml").read_text())
    assert all(difference["reason"] in _DOC for difference in listed.values())
