"""`penstock verify`."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.named_collections import declared
from penstock.cli.signals import stop_signals
from penstock.cli.tables import as_table_or_lists, terminal_width
from penstock.errors import NotEqual
from penstock.settings import Settings

# ruff: noqa: PLC0415  What a command needs is imported when it runs, so that --help and a wrong setting answer at once.

if TYPE_CHECKING:
    from penstock.operations.verify import Verified, VerifyFinding

_HEAD = (
    "collection", "verdict", "documents", "in index", "equal", "missing", "different", "too many", "moving", "left out",
    "dead-lettered", "repaired", "seconds", "documents/s",
)  # fmt: skip
_TEXTS = 2


def verify(
    settings: Settings,
    namespaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAMESPACE]...", help="Only these of the declared collections.", show_default=False),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write what is missing or different, delete what is too many.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, max=10_000, help="Only so many documents by chance, each way.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds for which a difference may be a write under way.")
    ] = 30.0,
    rate: Annotated[float | None, typer.Option("--rate", min=1, help="Most documents a second.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each finding as it is made, then each collection, as lines of JSON.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, and do not go on where one was interrupted.")
    ] = False,
) -> None:
    """Compare every document of the collections with the indexes, both ways, while everything goes on.

    A difference is looked at again until it is gone or --wait ends, so what is under way is not told. Exit code 0 when
    all is equal, by now, after --repair; else 8. Stopped with Ctrl-C, the next one goes on from there.
    """
    from penstock.cli.progress import progress_display
    from penstock.observe.logs import set_up_logs
    from penstock.operations.verify import VerifyListener, VerifyOptions
    from penstock.operations.verify.everything import verify_all
    from penstock.runtime.allocation import for_many_documents
    from penstock.worker.collections.patterns import expanded

    set_up_logs(settings.observe)
    for_many_documents()
    settings = expanded(settings)
    only = declared(settings, namespaces or [])
    how = VerifyOptions(repair=repair, wait_s=wait, rate=rate, sample=sample, restart=restart)
    results: list[Verified] = []
    with stop_signals() as signals, progress_display("verifying", "verified", plain=as_json) as progress:

        def telling(name: str) -> VerifyListener:
            return VerifyListener(progress, _as_line(name)) if as_json else VerifyListener(progress)

        for result in verify_all(settings, how, only=only, stop=signals.stop, telling=telling):
            results.append(result)
            if as_json:
                _print(_collection(result))
    if not as_json:
        _report(results)
    if signals.received:
        typer.echo("stopped; the next verify goes on from there", err=True)
        raise typer.Exit(signals.exit_code(endless=False))
    _end(results, repair=repair)


def _as_line(name: str) -> "Callable[[VerifyFinding], None]":
    """Prints the findings of a collection."""

    def tell(finding: "VerifyFinding") -> None:
        line = {"collection": name, "finding": finding.kind, "id": finding.id}
        _print({**line, "fields": list(finding.fields), "repaired": finding.repaired})

    return tell


def _collection(result: "Verified") -> dict[str, Any]:
    """The last line of a collection."""
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
            typer.echo(line)
    if results:
        rows = [_HEAD, *map(_row, results)]
        for line in as_table_or_lists(rows, texts=_TEXTS, width=terminal_width()):
            typer.echo(line)
        typer.echo(f"peak memory {max(each.peak_memory_bytes for each in results) / 2**20:,.0f} MiB")


def _findings(result: "Verified") -> Iterator[str]:
    """The first findings of each kind."""
    from penstock.operations.verify import KINDS

    for kind in KINDS:
        kept = [each for each in result.tally.kept if each.kind == kind]
        if kept:
            yield f"{result.namespace}: {result.tally.found[kind]:,} {kind}"
        yield from (f"  {_finding(each)}" for each in kept)
        if more := result.tally.found[kind] - len(kept):
            yield f"  and {more:,} more" + ("" if kind == "left out" else "; --json tells all")


def _finding(finding: "VerifyFinding") -> str:
    fields = f": {', '.join(finding.fields)}" if finding.fields else ""
    return f"{finding.id}{fields}{' (repaired)' if finding.repaired else ''}"


def _row(result: "Verified") -> Sequence[str]:
    tally = result.tally
    counts = (tally.documents, result.in_index, tally.equal, *tally.found.values(), tally.repaired)
    figures = (f"{result.seconds:,.1f}", f"{result.documents_per_s:,.0f}")
    return [result.namespace, _verdict(result), *(f"{each:,}" for each in counts), *figures]


def _end(results: "Sequence[Verified]", *, repair: bool) -> None:
    """Raise NotEqual unless all is equal."""
    if dropped := [each.namespace for each in results if each.dropped]:
        raise NotEqual(
            f"{', '.join(dropped)}: the collection is not there, and its index is kept as it is (on_drop); nothing was"
            " compared. Create the collection again, or correct its name."
        )
    if wrong := [each.namespace for each in results if not each.is_equal]:
        again = "run it again, and see `penstock dead-letters list` for what is refused" if repair else (
            "`penstock verify --repair` writes what differs"
        )  # fmt: skip
        raise NotEqual(f"{', '.join(wrong)}: source and index are not equal; {again}.")
