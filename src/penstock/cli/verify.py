"""`penstock verify`."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.named_collections import declared
from penstock.cli.preparation import prepare_to_work
from penstock.cli.signals import stop_signals
from penstock.cli.tables import as_table_or_lists, say, terminal_width
from penstock.errors import NotEqual, SettingsError
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.operations.verify import Verified, VerifyFinding

_HEAD = (
    "collection", "verdict", "documents", "in index", "equal", "missing", "different", "too many", "moving", "left out",
    "dead-lettered", "repaired", "seconds", "documents/s",
)  # fmt: skip
_TEXTS = 2


def verify(
    settings: Settings,
    intervals: Intervals,
    namespaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAMESPACE]...", help="Only these of the declared collections.", show_default=False),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write documents that are missing or different, and delete extra ones.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, max=10_000, help="Compare only this many random documents from each side."),
    ] = None,
    documents: Annotated[
        list[str] | None,
        typer.Option(
            "--document",
            metavar="ID",
            help="Compare only this document of the one named collection; may be repeated.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0, help="How long to wait for a difference to disappear, in seconds."),
    ] = 30.0,
    rate: Annotated[float | None, typer.Option("--rate", min=1, help="Maximum documents per second.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each finding at once, then each collection, as lines of JSON.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start from the beginning, even if an earlier verify was interrupted.")
    ] = False,
) -> None:
    """Compare every document of the collections with the indexes, in both directions, while everything runs.

    The command checks a difference again until it disappears or --wait ends, so in-flight changes are not reported. The
    exit code is 0 if all documents are equal (with --repair, after the repair), else 8. If the command is stopped with
    Ctrl-C, the next one resumes from there.
    """
    from penstock.cli.progress import progress_display
    from penstock.operations.explain.document_ref import asked_id
    from penstock.operations.verify import VerifyListener, VerifyOptions
    from penstock.operations.verify.everything import verify_all

    settings = prepare_to_work(settings)
    only = declared(settings, namespaces or [])
    if documents and (len(only) > 1 or sample):
        raise SettingsError("--document is for one collection: name it, and leave out --sample")
    ids = tuple(asked_id(each).text for each in documents or ())
    how = VerifyOptions(repair=repair, wait_s=wait, rate=rate, sample=sample, documents=ids, restart=restart)
    results: list[Verified] = []
    with stop_signals() as signals, progress_display("verifying", "verified", plain=as_json) as progress:

        def telling(name: str) -> VerifyListener:
            return VerifyListener(progress, _as_line(name)) if as_json else VerifyListener(progress)

        try:
            for result in verify_all(settings, how, only=only, stop=signals.stop, telling=telling, intervals=intervals):
                results.append(result)
                if as_json:
                    _print(_collection(result))
        finally:
            if not as_json:
                _report(results)
    if signals.received:
        say("stopped; the next `penstock verify` resumes from here", err=True)
        raise typer.Exit(signals.exit_code(endless=False))
    _end(results, repair=repair)


def _as_line(name: str) -> "Callable[[VerifyFinding], None]":
    """Return a function that prints a finding of the collection as a line of JSON."""

    def print_finding(finding: "VerifyFinding") -> None:
        line = {"collection": name, "finding": finding.kind, "id": finding.id}
        cause = {"cause": finding.cause} if finding.cause else {}
        _print({**line, "fields": list(finding.fields), "repaired": finding.repaired, **cause})

    return print_finding


def _collection(result: "Verified") -> dict[str, Any]:
    """Return the last line of a collection, which sums it up."""
    tally = result.tally
    return {
        "collection": result.namespace,
        "index": result.index,
        "verdict": _verdict(result),
        "documents": tally.documents,
        "in_index": result.in_index,
        "equal": tally.equal,
        **{kind.replace(" ", "_").replace("-", "_"): count for kind, count in tally.found.items()},
        "repaired": tally.repaired,
        "ignored": asdict(result.ignored) if result.ignored else None,
        "not_compared": result.not_compared,
        "left_out_ids": [each.id for each in tally.kept if each.kind == "left out"],
        "seconds": round(result.seconds, 3),
        "documents_per_s": round(result.documents_per_s, 1),
        "peak_memory_bytes": result.peak_memory_bytes,
    }


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _verdict(result: "Verified") -> str:
    if result.dropped:
        return "dropped"
    return "equal" if result.is_equal else "not equal"


def _report(results: "Sequence[Verified]") -> None:
    for result in results:
        for line in _findings(result):
            say(line)
    if results:
        rows = [_HEAD, *map(_row, results)]
        for line in as_table_or_lists(rows, texts=_TEXTS, width=terminal_width()):
            say(line)
        for result in results:
            if result.not_compared:
                say(f"{result.namespace}: not compared: {', '.join(result.not_compared)}")
            if result.ignored and result.ignored.documents:
                say(f"{result.namespace}: {result.ignored}: the values do not fit the mapping")
        say(f"peak memory {max(each.peak_memory_bytes for each in results) / 2**20:,.0f} MiB")


def _findings(result: "Verified") -> Iterator[str]:
    """Yield the first findings of each kind."""
    from penstock.operations.verify import KINDS

    for kind in KINDS:
        kept = [each for each in result.tally.kept if each.kind == kind]
        if kept:
            yield f"{result.namespace}: {result.tally.found[kind]:,} {kind}"
        yield from (f"  {_finding(each)}" for each in kept)
        if more := result.tally.found[kind] - len(kept):
            yield f"  and {more:,} more" + ("" if kind == "left out" else "; --json lists all of them")


def _finding(finding: "VerifyFinding") -> str:
    fields = f": {', '.join(finding.fields)}" if finding.fields else ""
    note = "repaired" if finding.repaired else finding.cause
    return f"{finding.id}{fields}{f' ({note})' if note else ''}"


def _row(result: "Verified") -> Sequence[str]:
    tally = result.tally
    counts = (tally.documents, result.in_index, tally.equal, *tally.found.values(), tally.repaired)
    figures = (f"{result.seconds:,.1f}", f"{result.documents_per_s:,.0f}")
    return [result.namespace, _verdict(result), *(f"{each:,}" for each in counts), *figures]


def _end(results: "Sequence[Verified]", *, repair: bool) -> None:
    """Raise NotEqual unless source and index are equal for every collection."""
    from penstock.operations.verify import causes

    if dropped := [each.namespace for each in results if each.dropped]:
        raise NotEqual(
            f"{', '.join(dropped)}: the collection does not exist, and its index is kept as it is (on_drop); nothing"
            " was compared. Create the collection again, or correct its name."
        )
    if wrong := [each.namespace for each in results if not each.is_equal]:
        again = "run it again, and see `penstock dead-letters list` for documents that were refused" if repair else (
            "run `penstock verify --repair` to correct the index"
        )  # fmt: skip
        if known := causes(finding for each in results for finding in each.tally.kept):
            again = "; ".join(known)
        raise NotEqual(f"{', '.join(wrong)}: source and index are not equal; {again}.")
