"""Renews what is made of declarations, in docs/ and monitoring/: `python tests/docs/regenerate.py`.

A generated part stands between `<!-- generated: name -->` and `<!-- end -->`; the test beside this file fails when
one of them is not what this would write.
"""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from benchmarks.page import NAMES
from benchmarks.results import RESULTS, Item
from benchmarks.results import Section as ItemSection
from benchmarks.results import read as read_item
from benchmarks.results import shown as figure_shown
from faults.result import Result
from faults.result import read as read_faults
from monitoring.render import alerts_table, files
from penstock import errors
from penstock.cli.app import app
from penstock.cli.extras import EXTRAS
from penstock.observe.metrics import REPORTED
from penstock.settings.table import (
    COLLECTIONS_FLAG,
    SECTIONS,
    SETTINGS_FLAG,
    Setting,
    collection_table,
    reaction_table,
    section_class,
    settings_table,
    shown,
    topic_table,
)
from testkit import helm

_OF_ALL = {SETTINGS_FLAG, COLLECTIONS_FLAG}
_EXTRAS = {extra.name for extra in EXTRAS}

DOCS = Path(__file__).resolve().parents[2] / "docs"
PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def regenerated(text: str) -> str:
    """The page with each generated part as it should be."""
    return PART.sub(lambda found: f"{found[1]}{PARTS[found['name']]()}{found[3]}", text)


def settings_part() -> str:
    """One table for each section of the file."""
    return "\n".join(_section(section) for section in SECTIONS) + "\n"


def _section(section: str) -> str:
    rows = [row for row in settings_table() if row.section == section]
    lines = [f"### [{section}]", "", section_class(section).__doc__ or "", ""]
    lines += ["| name | environment, flag | is | default | |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        other = f"`{row.other_variable}` " if row.other_variable else ""
        names = f"`{row.variable}` {other}`{row.flag}`"
        lines.append(f"| `{row.name}` | {names} | {row.kind} | {_default(row)} | {_cell(row.description)} |")
    return "\n".join(lines) + "\n"


def collections_part() -> str:
    """The table of a `[[collections]]` table."""
    return _table(collection_table())


def reactions_part() -> str:
    """The table of a `[[reactions]]` table."""
    return _table(reaction_table())


def topics_part() -> str:
    """The table of a `[[topics]]` table."""
    return _table(topic_table())


def _table(rows: Sequence[Setting]) -> str:
    lines = ["| name | is | default | |", "| --- | --- | --- | --- |"]
    for row in rows:
        lines.append(f"| `{row.name}` | {row.kind} | {_default(row)} | {_cell(row.description)} |")
    return "\n".join(lines) + "\n"


def _default(row: Setting) -> str:
    if row.field.is_required():
        return "must be given"
    if row.default is None or row.default in ((), {}):
        return ""
    value = row.default.get_secret_value() if row.is_secret else row.default
    return f"`{shown(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commands_part() -> str:
    """Each command with what it does, its arguments and its own flags."""
    return "\n".join(_command(name, command) for name, command in _commands())


def _commands() -> list[tuple[str, Any]]:
    """All commands by their full names."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    named = [
        each
        for name, command in group.commands.items()
        if name not in _EXTRAS
        for each in _named(f"penstock {name}", command)
    ]
    for extra in EXTRAS:
        if importlib.util.find_spec(extra.module) is None:
            continue
        named += _named(f"penstock {extra.name}", get_command(importlib.import_module(extra.module).app))
    return named


def _named(name: str, command: Any) -> list[tuple[str, Any]]:
    """A command with its name, or the commands of a group."""
    if not isinstance(command, TyperGroup):
        return [(name, command)]
    return [(f"{name} {each}", within) for each, within in command.commands.items()]


def _command(name: str, command: Any) -> str:
    of_settings = {row.parameter for row in settings_table() if any(row.flag in flag.opts for flag in command.params)}
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    flags = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([name, "[FLAGS]", *map(_metavar, arguments)])
    lines = [f"### {name}", "", f"    {usage}", "", *_paragraphs(command.help)]
    own = [flag for flag in flags if flag.name not in of_settings and "--help" not in flag.opts]
    own = [flag for flag in own if not _OF_ALL.intersection(flag.opts)]
    if own or arguments:
        lines += ["| | |", "| --- | --- |"]
        lines += [f"| `{_metavar(argument)}` | {_cell(argument.help or '')} |" for argument in arguments]
        lines += _flags(own)
        lines.append("")
    shared = {flag.name for flag in flags if flag.name in of_settings}
    sections = [section for section in SECTIONS if any(name.startswith(f"{section}_") for name in shared)]
    if len(sections) == len(SECTIONS):
        lines += ["And the [common flags](#common-flags).", ""]
    elif sections:
        lines += [f"And the flags of the settings of {' and '.join(sections)}: [settings](settings.md).", ""]
    return "\n".join(lines)


def common_flags_part() -> str:
    """The flags of every command that reads the settings, listed once."""
    run = next(command for name, command in _commands() if name == "penstock run")
    common = [flag for flag in run.params if _OF_ALL.intersection(flag.opts)]
    return "\n".join(["| | |", "| --- | --- |", *_flags(common)]) + "\n"


def _flags(flags: Sequence[Any]) -> list[str]:
    return [f"| {', '.join(f'`{opt}`' for opt in flag.opts)} | {_cell(flag.help or '')} |" for flag in flags]


def _metavar(argument: Any) -> str:
    return argument.metavar or f"[{argument.name.upper()}]"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in (text or "").strip().split("\n\n"):
        yield " ".join(line.strip() for line in paragraph.splitlines())
        yield ""


def metrics_part() -> str:
    """One row for each metric."""
    lines = ["| metric | is | labels | |", "| --- | --- | --- | --- |"]
    for name, metric in REPORTED.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{name}` | {metric.kind} | {labels} | {_cell(metric.help)} |")
    return "\n".join(lines) + "\n"


def exit_codes_part() -> str:
    """The exit codes of the errors that can end a command."""
    lines = ["| code | error | |", "| --- | --- | --- |"]
    ending = [kind for kind in _errors() if kind.exit_code > 1]
    for kind in sorted(ending, key=lambda each: each.exit_code):
        lines.append(f"| {kind.exit_code} | {kind.__name__} | {' '.join((kind.__doc__ or '').split())} |")
    return "\n".join(lines) + "\n"


def _errors() -> list[type[errors.PenstockError]]:
    declared = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in declared if issubclass(each, errors.PenstockError)]


def measured_part() -> str:
    """The figures that most people look for, from the committed results of benchmarks and faults."""
    items = {name: item for name in NAMES if (item := read_item(RESULTS, name))}
    rows = [*_speeds(items), *_memory(items), *_goals(items), *_faults(list(read_faults().values()))]
    return (
        "\n".join(["| measured | found |", "| --- | --- |", *(f"| {what} | {found} |" for what, found in rows)]) + "\n"
    )


def _speeds(items: Mapping[str, Item]) -> Iterator[tuple[str, str]]:
    for name, way in (("load", "penstock load"), ("catch_up", "penstock catch-up")):
        section = items[name].sections[0]
        rate = next(row[1] for row in section.rows if row[0] == way)
        limit = "of the rate at which OpenSearch takes prepared bulk requests"
        yield section.title, f"{figure_shown(rate)} a second, {_figure(section, f'{way} / raw bulk')} {limit}"
    latency = items["latency"].sections[0]
    p50, p99 = (_figure(latency, f"acknowledged at 100 writes a second, {share}") for share in ("p50", "p99"))
    what = "from a write until the index acknowledges it, at 100 writes a second"
    yield what, f"{p50} at the median, {p99} at the 99th percentile"
    calls = items["lambda_calls"].sections[0]
    yield calls.title, f"{figure_shown(calls.rows[0][1])} a second in {calls.rows[0][0]}"


def _memory(items: Mapping[str, Item]) -> Iterator[tuple[str, str]]:
    for name, command in (("growth", "penstock load"), ("growth", "penstock run"), ("verify", "penstock verify")):
        section = next(each for each in items[name].sections if each.title.startswith(command))
        peak = _figure(section, "peak memory, 1,000,000 documents")
        yield f"peak memory of `{command}` with 1,000,000 documents", peak


def _goals(items: Mapping[str, Item]) -> Iterator[tuple[str, str]]:
    goals = [goal for item in items.values() for each in item.sections for goal in each.goals if goal.wanted]
    missed = sum(not goal.reached for goal in goals)
    yield "[goals of the benchmarks](appendix/benchmarks.md#goals)", f"{len(goals) - missed} reached, {missed} missed"


def _faults(found: Sequence[Result]) -> Iterator[tuple[str, str]]:
    times = sum(each.times for each in found)
    lost, doubled, back = (sum(getattr(each, what) for each in found) for what in ("lost", "doubled", "resurrected"))
    slowest = max(seconds for each in found for seconds in each.recovered_s)
    what = f"[{len(found)} kinds of faults](appendix/faults.md), {times} times in all"
    yield what, f"documents lost: {lost}, doubled: {doubled}, resurrected: {back}; slowest recovery {slowest:.1f} s"


def _figure(section: ItemSection, measure: str) -> str:
    goal = next(goal for goal in section.goals if goal.measure == measure)
    return f"{figure_shown(goal.value)}{goal.unit}"


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_part,
    "collections": collections_part,
    "reactions": reactions_part,
    "topics": topics_part,
    "common-flags": common_flags_part,
    "commands": commands_part,
    "metrics": metrics_part,
    "alerts": alerts_table,
    "exit-codes": exit_codes_part,
    "measured": measured_part,
}


def main() -> int:
    """Renew the pages, or with `--check` say which differ."""
    stale = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if regenerated(text) != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(regenerated(text), encoding="utf-8")
    made = files() | ({each: helm.plain_manifest(each) for each in helm.EXAMPLES} if helm.find() else {})
    for file, text in made.items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(str(file.relative_to(DOCS.parent)))
            if "--check" not in sys.argv:
                file.write_text(text, encoding="utf-8")
    print("\n".join(stale) or "nothing to do")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
