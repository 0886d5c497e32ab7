"""`penstock explain`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.preparation import prepare_to_look
from penstock.cli.tables import aligned, on_one_line, say, terminal_width, wrapped
from penstock.model import seconds_of
from penstock.observe.wording import counted
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.operations.explain.diagnosis import Evidence
    from penstock.operations.explain.log_place import LogPlace
    from penstock.operations.explain.look import Explanation

_WAITING = "not in step yet; waiting for the worker to reach the document's last change"
_INDENT = " " * 13


def explain(
    settings: Settings,
    intervals: Intervals,
    namespace: Annotated[str, typer.Argument(metavar="COLLECTION", help="As database.collection.")],
    document: Annotated[
        str, typer.Argument(metavar="ID", help="The document id as in the index, or the _id as extended JSON.")
    ],
    values: Annotated[bool, typer.Option("--values", help="Also print the values of the fields that differ.")] = False,
    wait_s: Annotated[
        float,
        typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for a running worker to catch up."),
    ] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Explain why a document is in the index, is missing from it, or differs.

    The command reads the document's present state from the source, applies the transform, and compares the result with
    the index. It also looks at the dead letters, the load and the stream's position. The exit code is 0 if the index
    holds what source and settings ask for, else 1.
    """
    from penstock.operations.explain.explain import explain as explained

    settings = prepare_to_look(settings)
    found = explained(
        settings,
        namespace,
        document,
        wait_s=wait_s,
        on_wait=lambda: say(_WAITING, err=True),
        intervals=intervals,
    )
    if as_json:
        typer.echo(json.dumps(_json(found, values=values), indent=1))
    else:
        for line in _lines(found, values=values, width=terminal_width()):
            say(line)
    raise typer.Exit(0 if found.conclusion.is_expected else 1)


def _lines(found: "Explanation", *, values: bool, width: int | None) -> Iterator[str]:
    rows = [("document", f"{found.seen.namespace} {on_one_line(found.id)}"), *_rows(found)]
    for name, text in rows:
        first, *more = wrapped(text, indent=_INDENT, width=width)
        yield f"{name:{len(_INDENT)}}{first.removeprefix(_INDENT)}"
        yield from more
    if values:
        odd = [(path, each) for path, each in found.seen.fields.items() if each.state != "equal"]
        yield from aligned(
            [["field", "", "should be", "is"]]
            + [[path, each.state, json.dumps(each.wanted), json.dumps(each.indexed)] for path, each in odd],
            texts=4,
        )
    yield from wrapped(found.conclusion.sentence, indent="", width=width)


def _rows(found: "Explanation") -> Iterator[tuple[str, str]]:
    seen, letter = found.seen, found.letter
    yield "source", f"{seen.source}, at {_time(seen.time)}"
    yield "transform", f"{seen.transformed}{f': {seen.reason}' if seen.reason else ''}" if seen.transformed else "-"
    yield "index", _index(seen)
    yield "fields", _fields(seen)
    yield "not searched", ", ".join(seen.ignored) or "-"
    yield "dead letter", f"of {_time(letter.version)}: {letter.reason}" if letter else "-"
    yield "load", seen.load or "never begun"
    yield "worker", _worker(seen)
    if found.log:
        yield "log", _log(found.log)


def _index(seen: "Evidence") -> str:
    if seen.index is None:
        return "there is none"
    if seen.version is None:
        return f"{seen.index}: not there"
    return f"{seen.index}: version {seen.version}, of {_time(seen.version)}"


def _fields(seen: "Evidence") -> str:
    if not seen.fields:
        return "-"
    by_state: dict[str, list[str]] = {}
    for path, each in seen.fields.items():
        by_state.setdefault(each.state, []).append(path)
    equal = by_state.pop("equal", [])
    odd = [f"{state}: {', '.join(map(on_one_line, paths))}" for state, paths in by_state.items()]
    return "; ".join([f"{counted(len(equal), 'field')} equal", *odd])


def _worker(seen: "Evidence") -> str:
    if seen.position is None:
        return seen.worker
    after = "after" if seen.version is not None and seen.position >= seen.version else "before"
    indexed = f", {after} the version in the index" if seen.version is not None else ""
    return f"{seen.worker}, position of {_time(seen.position)}, {seen.behind_s:,} s before this look{indexed}"


def _log(log: "LogPlace") -> str:
    members = ", ".join(f"{each.host} process {each.pid}" for each in log.members) or "none"
    group = f"group {log.group}, members: {members}"
    if not log.is_own:
        return f"topic {', '.join(log.topics)}; {group}"
    if not log.partitions:
        return f"topic {log.topics[0]}; {group}; the partition is known once the index has a position"
    numbers = " or ".join(map(str, log.partitions))
    place = (
        f"topic {log.topics[0]}, partition {numbers}{'' if len(log.partitions) == 1 else ' (by the type of the _id)'}"
    )
    if log.passed:
        done = (
            f"change {log.passed.number:,} (before offset {log.passed.offset:,})" if log.passed.number else "no change"
        )
        place += f": applied up to {done} at the saved position"
    holders = [
        f"{each.host} process {each.pid}, {'records behind not known yet' if left is None else f'{left:,} behind'}"
        for each, left in log.holders
    ]
    return f"{place}; {'with ' + '; '.join(holders) if holders else 'no process has it'}; {group}"


def _log_json(log: "LogPlace") -> dict[str, Any]:
    return {
        "group": log.group,
        "topics": list(log.topics),
        "partitions": list(log.partitions),
        "number": log.passed.number if log.passed else None,
        "offset": log.passed.offset if log.passed else None,
        "members": [{"host": each.host, "pid": each.pid, "topics": each.topics} for each in log.members],
    }


def _time(version: int) -> str:
    return f"{datetime.fromtimestamp(seconds_of(version), UTC):%Y-%m-%d %H:%M:%S} UTC"


def _json(found: "Explanation", *, values: bool) -> dict[str, Any]:
    seen, letter = found.seen, found.letter
    return {
        "collection": seen.namespace,
        "id": found.id,
        "key": found.id_json,
        "expected": found.conclusion.is_expected,
        "verdict": found.conclusion.verdict,
        "conclusion": found.conclusion.sentence,
        "source": seen.source,
        "source_time": seen.time,
        "transform": seen.transformed or None,
        "reason": seen.reason or None,
        "index": seen.index,
        "version": seen.version,
        "fields": {
            path: {"state": each.state, **({"wanted": each.wanted, "indexed": each.indexed} if values else {})}
            for path, each in seen.fields.items()
        },
        "ignored": list(seen.ignored),
        "moved": list(seen.moved),
        "dead_letter": {"reason": letter.reason, "version": letter.version} if letter else None,
        "load": seen.load,
        "worker": seen.worker,
        "position_time": seen.position,
        "log": _log_json(found.log) if found.log else None,
    }
