"""The app, synthesised in this process; once a session for each context."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import infra  # noqa: F401, I001 (first: it readies Node for aws_cdk)
from aws_cdk import App, Environment
from aws_cdk.assertions import Template

from infra.app import build, make_app

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
        return {stack: Template.from_json(json.loads(file.read_text())) for stack, file in self.files.items()}

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


def synthesise(folder: Path, context: Context, env: Environment | None = None) -> Synthesis:
    """Synthesise the app into a folder, as `cdk synth -c key=value` does; findings do not end it."""
    app = make_app(str(folder), {"asset_folder": str(STAND_IN), **context})
    build(app, env)
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
    return Synthesis(folder)


@pytest.fixture(scope="session")
def synthesis(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Context], Synthesis]:
    """Synthesise for a context, or answer what was synthesised for it already."""
    done: dict[str, Synthesis] = {}

    def of(context: Context) -> Synthesis:
        key = json.dumps(dict(context), sort_keys=True)
        if key not in done:
            done[key] = synthesise(tmp_path_factory.mktemp("synth"), context)
        return done[key]

    return of


@pytest.fixture(scope="session")
def synth(synthesis: Callable[[Context], Synthesis]) -> Callable[[Context], dict[str, Template]]:
    """`synth({"profile": "production"})["change-streams-demo-vpc-stack"]` is that stack's template."""
    return lambda context: synthesis(context).templates


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An app for a stack or two."""
    return make_app(str(tmp_path))
