"""The app, synthesised in this process.

What needs aws_cdk imports it when it is called: that takes seconds, and most who collect the tests run none of these.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from testkit.templates import Template

Context = Mapping[str, Any]

STAND_IN = Path(__file__).parent / "stand_in"
"""Deployed instead of the functions' and the task's code, unless a context names another folder or none."""


@dataclass(frozen=True)
class Synthesis:
    """What one synthesis left behind in its folder."""

    folder: Path

    @cached_property
    def files(self) -> dict[str, Path]:
        """The templates' files by the name of the stack."""
        return {file.name.removesuffix(".template.json"): file for file in sorted(self.folder.glob("*.template.json"))}

    @cached_property
    def templates(self) -> dict[str, Template]:
        return {stack: Template.read(file) for stack, file in self.files.items()}

    @cached_property
    def findings(self) -> list[str]:
        """What cdk-nag and CDK's own validation hold against it and nobody has accepted."""
        report = json.loads((self.folder / "validation-report.json").read_text())
        return [
            f"{violation['ruleName']} {construct['constructPath']}"
            for plugin in report["pluginReports"]
            for violation in plugin["violations"]
            for construct in violation["violatingConstructs"]
        ]


def synthesise(folder: Path, context: Context, account: str = "", region: str = "") -> Synthesis:
    """Synthesise the app into a folder, as `cdk synth -c key=value` does; findings do not end it."""
    from infra.app import build, make_app  # isort: skip (first: it readies Node for aws_cdk)
    from aws_cdk import Environment

    app = make_app(str(folder), {"asset_folder": str(STAND_IN), **context})
    build(app, Environment(account=account, region=region) if account else None)
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
    return Synthesis(folder)
