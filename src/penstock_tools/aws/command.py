"""`penstock aws local`: the reference deployment on this machine, until Ctrl-C. `penstock aws check`: an account.

The packages of the local deployment are imported where it starts: the look needs botocore alone.
"""

import os
import shlex
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from penstock.observe.logs import set_up_logs
from penstock.settings import ObserveSettings
from penstock.settings.checks import check_webhook
from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.platform import terminated_like_interrupted
from penstock_tools.servers.ports import require_free
from penstock_tools.servers.progress import progress_here

if TYPE_CHECKING:
    from penstock_tools.aws.deployment import Deployment

app = typer.Typer(
    no_args_is_help=True,
    help="Run the AWS deployment on this machine, or check what it needs of an account.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_MOST_PORT = 65_535


@app.command()
def check(
    cluster: Annotated[str, typer.Option(help="Name of the DocumentDB cluster.")],
    domain: Annotated[str, typer.Option(help="Name of the OpenSearch domain.")],
    region: Annotated[str | None, typer.Option(help="Region; by default that of the environment or profile.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at an account by its API, before or after a deployment, and say what to do about each finding.

    The command only reads, with the credentials of the shell. The exit code is 0 without failures, else 2, 4 or 5, as
    that of `penstock check`.
    """
    from botocore.exceptions import BotoCoreError

    from penstock.aws.session import service
    from penstock.cli.check import print_findings
    from penstock.errors import SettingsError
    from penstock.operations.check.check import exit_code
    from penstock_tools.aws.account import account_findings

    try:
        findings = list(account_findings(lambda name: service(name, region=region), cluster=cluster, domain=domain))
    except BotoCoreError as error:
        raise SettingsError(
            f"AWS cannot be asked: {str(error).rstrip('.')}. Correct the credentials, the region or the network."
        ) from error
    print_findings(findings, as_json=as_json)
    raise typer.Exit(exit_code(findings))


@app.command()
def local(  # noqa: PLR0913 (one argument for each flag)
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder for logs and operations.env, which is kept. Default: a temporary one."
        ),
    ] = None,
    as_in_sample: Annotated[
        bool,
        typer.Option("--as-in-sample", help="Create the mapping disabled, as the AWS sample does."),
    ] = False,
    collections: Annotated[
        int, typer.Option(min=1, max=20, help="Number of collections, each with a mapping and an index.")
    ] = 1,
    kafka: Annotated[
        bool,
        typer.Option("--kafka", help="Start a Kafka too; a mapping of its topic feeds one more collection's index."),
    ] = False,
    reactions: Annotated[
        bool,
        typer.Option(
            "--reactions", help="React to changes: a state machine runs for new documents, and a webhook is called."
        ),
    ] = False,
    webhook: Annotated[
        str, typer.Option(help="With --reactions: address of the webhook. Default: a receiver that writes webhook.log.")
    ] = "",
    open_api: Annotated[bool, typer.Option("--open-api", help="Require no API key, as in the AWS sample.")] = False,
    retry: Annotated[
        Literal["forever", "six"],
        typer.Option(help="How often to retry a failed batch: forever (as documented), or six times."),
    ] = "forever",
    scope: Annotated[
        Literal["strict", "documented"],
        typer.Option(
            help="Which rule of modifyChangeStreams a mapping needs: `documented`, any that covers it, at any time;"
            " `strict`, its own, when it is created."
        ),
    ] = "documented",
    batch_size: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of events in a batch.")] = 1000,
    batch_window: Annotated[
        int, typer.Option(min=0, max=300, help="How long a batch waits for more events, in seconds.")
    ] = 1,
    gateway_port: Annotated[
        int, typer.Option(min=0, max=_MOST_PORT, help="Port of the API gateway; 0 for any free one.")
    ] = 0,
    lambda_port: Annotated[
        int, typer.Option(min=0, max=_MOST_PORT, help="Port of Lambda's API; 0 for any free one.")
    ] = 0,
) -> None:
    """Start the cluster, the domain, the functions, their mapping and the API, and print their addresses."""
    from penstock_tools.aws.deployment import Deployment, DeploymentSettings
    from penstock_tools.aws.mapping.behaviour import Behaviour

    if as_in_sample and (reactions or kafka or collections > 1):
        raise LocalServerError(
            "--as-in-sample has one collection, no reactions and no topics: leave the other flag out"
        )
    if kafka:
        _require_driver()
    if webhook and not reactions:
        raise LocalServerError("--webhook is for --reactions: give that too")
    settings = DeploymentSettings(
        collections=collections,
        kafka=kafka,
        reactions=reactions,
        webhook_url=_address(webhook),
        as_in_sample=as_in_sample,
        open_api=open_api,
        behaviour=Behaviour(retry=retry, scope=scope),
        batch_size=batch_size,
        batch_window_s=batch_window,
        gateway_port=gateway_port,
        lambda_port=lambda_port,
    )
    require_free(gateway_port, "The API gateway")
    require_free(lambda_port, "Lambda's API")
    _leave_account_alone()
    set_up_logs(ObserveSettings(log_level="warning"))
    with ExitStack() as stack:
        stack.enter_context(suppress(KeyboardInterrupt))
        stack.enter_context(terminated_like_interrupted())
        place = (
            _made(folder) if folder else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-aws-")))
        )
        with progress_here() as progress:  # ends before anything is printed, because it would break the lines
            deployment = stack.enter_context(Deployment(place, settings, progress=progress))
        if as_in_sample:
            deployment.mapping_id = deployment.create_mapping()
        print(described(deployment), flush=True)
        deployment.platform.watch()


def _require_driver() -> None:
    from penstock.runtime.extras import needs_kafka

    with needs_kafka("--kafka"):
        import penstock_tools.aws.mapping.topics  # noqa: F401


def _address(webhook: str) -> str:
    try:
        return check_webhook(webhook) or "" if webhook else ""
    except ValueError as error:
        raise LocalServerError(f"--webhook {error}") from None


def _leave_account_alone() -> None:
    """Forget the AWS account of the user's shell: everything here has its own logins and endpoints."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalServerError(f"The folder {folder} cannot be created: {error.strerror}. Name another one") from error
    return folder


def _program(name: str) -> str:
    """Return how to call a program of this installation from another terminal, where it may not be on the PATH."""
    here = Path(sys.executable).parent / name
    return shlex.quote(str(here)) if here.exists() else name


def described(deployment: "Deployment") -> str:
    """Return the addresses and the first commands to try, as lines."""
    from penstock_tools.aws.deployment import REGION

    key = f" -H 'x-api-key: {deployment.api_key}'" if deployment.api_key else ""
    api, mapping, settings = deployment.gateway.url, deployment.mapping_id, deployment.settings
    penstock = _program("penstock")
    cli = f"{_program('aws')} --no-sign-request --region {REGION} --endpoint-url {deployment.lambda_url} lambda"
    show = f"  {cli} get-event-source-mapping --uuid {mapping}"
    begin = [
        f"  curl -X POST{key} {api}/config",
        f"  {cli} update-event-source-mapping --uuid {mapping} --enabled",
        "The mapping sends what is stored once this shows the state Enabled and no PROBLEM, some seconds later:",
    ]
    never = settings.as_in_sample and settings.behaviour.scope == "strict"
    return "\n".join(
        [
            f"api         {api}",
            *([f"api key     {deployment.api_key}"] if deployment.api_key else []),
            f"esm-id      {mapping}",
            *(f"            {each} -> {name}" for (each, name), _ in list(deployment.mapping_ids.items())[1:]),
            f"lambda      {deployment.lambda_url}",
            f"cluster     {deployment.platform.source.shown_uri}",
            f"domain      {deployment.domain.url} (signed requests), {deployment.platform.opensearch.url} (open)",
            f"queue       {deployment.queue_url}",
            *_topics(deployment),
            *_targets(deployment),
            f"logs        {deployment.folder / 'logs'}",
            "",
            *(["This mapping was created before POST /config: with --scope strict it never reads."] if never else []),
            "Try this in another terminal; a search finds a document a few seconds after it is stored:",
            *([*begin, show] if settings.as_in_sample else []),
            f'  curl{key} {api}/demo-data -d \'{{"title": "penstock", "year": 2026}}\'',
            f"  curl{key} '{api}/demo-data?q=penstock'",
            *([] if settings.as_in_sample else [show]),
            f"  . {shlex.quote(str(deployment.folder / 'operations.env'))} && {penstock} load && {penstock} status",
            "Stop with Ctrl-C.",
        ]
    )


def _topics(deployment: "Deployment") -> list[str]:
    """Return the lines about the topics that bring changes."""
    kafka = deployment.platform.kafka
    if kafka is None:
        return []
    lines = [f"kafka       {kafka.bootstrap_servers}, whose records name documents by their keys"]
    settings = deployment.settings
    return [*lines, *(f"            {topic} -> {settings.indexed[each]}" for each, topic in settings.topics.items())]


def _targets(deployment: "Deployment") -> list[str]:
    """Return the lines about what changes start."""
    if deployment.outlook is None:
        return []
    return [
        f"bus         {deployment.outlook.bus}, at {deployment.aws.url}",
        f"            starts {deployment.outlook.state_machine_arn}",
        f"            which tells {deployment.outlook.topic_arn}",
        f"webhook     {deployment.webhook_url}",
    ]
