"""`penstock mapping ...`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.named_collections import declared
from penstock.cli.preparation import prepare_to_look
from penstock.cli.signals import stop_signals
from penstock.cli.tables import say
from penstock.errors import SettingsError
from penstock.observe.wording import counted, printable
from penstock.settings import CollectionSettings, Settings

if TYPE_CHECKING:
    from penstock.operations.suggest.proposal import Proposal, Remark


def suggest(
    settings: Settings,
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="One of the declared collections.")],
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many documents to look at.")] = 10_000,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write. Default: standard output.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Read a sample of a collection and propose a mapping for its index, as a `mapping_file`.

    Fields whose values do not fit one type are listed on standard error, with the policy to set for them. The command
    changes nothing: name the file in the settings, and it is used for indexes that are created after that.
    """
    import orjson

    from penstock.cli.progress import progress_display
    from penstock.operations.init import refuse_existing
    from penstock.operations.suggest.sampling import suggest as propose

    settings = prepare_to_look(settings, log_level="warning")
    declared(settings, [namespace])
    collection = next(each for each in settings.collections if each.namespace == namespace)
    if output:
        refuse_existing(output, overwrite=force)
    with stop_signals() as signals, progress_display("looking at", "looked at") as progress:
        profile, proposal = propose(settings, collection, size=sample, progress=progress, stop=signals.stop)
        text = orjson.dumps(proposal.content, option=orjson.OPT_INDENT_2).decode() + "\n"
        if output:
            _write(output, text)
        else:
            typer.echo(printable(text, but="\n"), nl=False)
        for line in _report(profile.documents, proposal, collection, output):
            say(line, err=True)
    raise typer.Exit(signals.exit_code(endless=False))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}.") from None


def _report(documents: int, proposal: "Proposal", collection: CollectionSettings, output: Path | None) -> Iterator[str]:
    of_limit = f"{counted(proposal.fields, 'field')} of the {collection.max_fields:,} of max_fields"
    yield f"{collection.namespace}: {counted(documents, 'document')}, {of_limit}"
    yield from (f"  {each.path}: {each.text}" if each.path else f"  {each.text}" for each in proposal.remarks)
    conflicts = [each for each in proposal.remarks if each.policy]
    if output or conflicts:
        yield f"to do, in the [[collections]] table of {collection.namespace}:"
    if output:
        yield f"  mapping_file = {json.dumps(str(_as_named(output)), ensure_ascii=False)}"
    if conflicts:
        yield f"  conflicts = {{ {', '.join(map(_policy, conflicts))} }}"


def _as_named(output: Path) -> Path:
    """The file as the settings name it, whose names of files begin at the settings file."""
    from penstock.documents.user_function import folder

    its = folder()
    return output if its is None or its.resolve() == Path.cwd() else output.resolve()


def _policy(remark: "Remark") -> str:
    return f'{json.dumps(remark.path)} = "{remark.policy}"'
