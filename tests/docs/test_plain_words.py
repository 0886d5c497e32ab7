"""What people read from the program uses plain words: help, descriptions of settings and metrics, messages."""

import ast
import importlib
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from penstock.cli.app import app
from penstock.cli.extras import EXTRAS
from penstock.observe.metrics import METRICS
from penstock.settings.table import (
    SECTIONS,
    collection_table,
    reaction_table,
    section_class,
    settings_table,
    topic_table,
)
from testkit.banned_words import offences

SOURCE = Path(__file__).resolve().parents[2] / "src"


def commands(name, command):
    """Each command below this one, and itself, with its name."""
    yield name, command
    if isinstance(command, TyperGroup):
        for each, within in command.commands.items():
            yield from commands(f"{name} {each}", within)


def every_command():
    yield from commands("penstock", get_command(app))
    for extra in EXTRAS:
        yield from commands(f"penstock {extra.name}", get_command(importlib.import_module(extra.module).app))


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in every_command()])
def test_help_uses_plain_words(command):
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    assert [offence for text in texts if text for offence in offences(text)] == []


def test_descriptions_of_settings_use_plain_words():
    texts = [row.description for row in (*settings_table(), *collection_table(), *reaction_table(), *topic_table())]
    texts += [section_class(section).__doc__ for section in SECTIONS]
    assert [offence for text in texts for offence in offences(text)] == []


def test_descriptions_of_metrics_use_plain_words():
    assert [offence for metric in METRICS.values() for offence in offences(metric.help)] == []


def test_messages_use_plain_words():
    assert [
        f"{path.relative_to(SOURCE)}, line {line}: {offence}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in texts_of(path.read_text(encoding="utf-8"))
        for offence in offences(text)
    ] == []


def texts_of(code):
    """The sentences in a module's code, with their lines: what it raises, logs and prints, but no docstrings."""
    tree = ast.parse(code)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [(each.lineno, each.value) for each in texts if id(each) not in docstrings and " " in each.value.strip()]


def test_messages_are_found_and_docstrings_are_not():
    code = '''
def run(log, name):
    """A docstring."""
    log.info("it begins")
    raise ValueError(f"{name} cannot be read: {name} is gone; correct it")
'''
    assert [text for _, text in texts_of(code)] == ["it begins", " cannot be read: ", " is gone; correct it"]
