"""The app, synthesised in this process; once a session for each context."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import infra  # noqa: F401, I001 (first: it readies Node for aws_cdk)
from aws_cdk import App
from aws_cdk.assertions import Template

from infra.app import build

Context = Mapping[str, Any]


@dataclass(frozen=True)
class Synthesis:
    """What one synthesis left behind."""

    folder: Path
    templates: dict[str, Template]
    """By the name of the stack."""

    @property
    def files(self) -> list[Path]:
        return [self.folder / f"{name}.template.json" for name in self.templates]


def synthesise(folder: Path, context: Context) -> Synthesis:
    """Synthesise the app into a folder, as `cdk synth -c key=value` does."""
    app = App(outdir=str(folder), context=dict(context))
    build(app)
    stacks = app.synth().stacks
    templates = {stack.stack_name: Template.from_json(json.loads(_text(stack))) for stack in stacks}
    return Synthesis(folder, templates)


def _text(stack: Any) -> str:
    return Path(stack.template_full_path).read_text()


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
