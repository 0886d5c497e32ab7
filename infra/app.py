"""The app: `python -m infra.app` writes the templates of the four stacks to cdk.out, without credentials."""

import os
from importlib.util import find_spec
from typing import Final

from aws_cdk import App, Tags

from infra.configuration import Configuration
from infra.documentdb import DocumentDbStack
from infra.network import NetworkStack
from infra.opensearch import OpenSearchStack

APPLICATION: Final = "change-streams-demo"
"""Value of the tag `Application`, and how the names of stacks and functions begin."""


def build(app: App) -> None:
    """Add the four stacks, as the app's context says."""
    configuration = Configuration.from_context(app.node)
    network = NetworkStack(app, f"{APPLICATION}-vpc-stack", configuration=configuration)
    documentdb = DocumentDbStack(app, f"{APPLICATION}-documentdb-stack", configuration=configuration, network=network)
    opensearch = OpenSearchStack(app, f"{APPLICATION}-opensearch-stack", configuration=configuration, network=network)
    if find_spec("infra.functions") and find_spec("infra.functions.stack"):
        from infra.functions.stack import LambdaStack

        LambdaStack(
            app,
            f"{APPLICATION}-lambda-stack",
            configuration=configuration,
            network=network,
            documentdb=documentdb,
            opensearch=opensearch,
        )
    Tags.of(app).add("Application", APPLICATION)


def main() -> None:
    app = App(outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    build(app)
    app.synth()


if __name__ == "__main__":
    main()
