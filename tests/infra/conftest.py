"""The app, synthesised in this process; once a session for each context.

The CDK library starts a Node of its own, for seconds: all tests of this folder run in one process, and nothing imports
aws_cdk before a test needs it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testkit.synthesis import Context, Synthesis, synthesise
from testkit.templates import Template

if TYPE_CHECKING:
    from aws_cdk import App


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
def app(tmp_path: Path) -> "App":
    """An app for a stack or two."""
    from infra.app import make_app

    return make_app(str(tmp_path))
