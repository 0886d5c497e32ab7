"""The app: `python -m infra.app` writes the templates of the four stacks to cdk.out, without credentials."""

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import App, Environment, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from infra.configuration import Configuration, ConfigurationError
from infra.documentdb import DocumentDbStack
from infra.existing import ExistingCluster, ExistingDomain
from infra.functions_stack import LambdaStack
from infra.network import NetworkStack
from infra.opensearch import OpenSearchStack
from penstock.errors import PenstockError
from penstock.lambdas.environment import APPLICATION

FEATURE_FLAGS: Final = {
    "@aws-cdk/aws-apigateway:disableCloudWatchRole": True,  # the role belongs to the account, not to one API
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/aws-secretsmanager:useAttachedSecretResourcePolicyForSecretTargetAttachments": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/core:defaultCrossStackReferences": "strong",  # what another stack uses cannot be deleted
    "@aws-cdk/core:enablePartitionLiterals": True,
    "@aws-cdk/customresources:installLatestAwsSdkDefault": False,  # it would be fetched at each deployment
}
"""Set here instead of in cdk.json, so that the tests, `make synth` and the CLI make the same templates."""


def make_app(folder: str | None = None, context: Mapping[str, Any] | None = None) -> App:
    """Return an app without stacks. The CLI gives folder and context in the environment, which has priority."""
    return App(
        outdir=folder or os.environ.get("CDK_OUTDIR", "cdk.out"),
        context={**FEATURE_FLAGS, **(context or {})},
        analytics_reporting=False,
    )


def build(app: App, env: Environment | None = None, configuration: Configuration | None = None) -> None:
    """Add the stacks, as configured (by default in the app's context), and have cdk-nag check them.

    There are four, less those of a cluster or a domain that exists.

    Raises:
        ConfigurationError: for a context that cannot be deployed.
        AssetError: if the functions' packages are not available.
    """
    configuration = configuration or Configuration.from_context(app.node)
    network = NetworkStack(app, f"{APPLICATION}-vpc-stack", configuration=configuration, env=env)
    documentdb: DocumentDbStack | ExistingCluster
    if configuration.cluster_arn:
        documentdb = ExistingCluster(network, "Cluster", configuration=configuration)
    else:
        name = f"{APPLICATION}-documentdb-stack"
        documentdb = DocumentDbStack(app, name, configuration=configuration, network=network)
    opensearch: OpenSearchStack | ExistingDomain
    if configuration.domain_arn:
        opensearch = ExistingDomain(network, "Domain", configuration=configuration)
    else:
        name = f"{APPLICATION}-opensearch-stack"
        opensearch = OpenSearchStack(app, name, configuration=configuration, network=network)
    LambdaStack(
        app,
        f"{APPLICATION}-lambda-stack",
        configuration=configuration,
        network=network,
        documentdb=documentdb,
        opensearch=opensearch,
    )
    Tags.of(app).add("Application", APPLICATION)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))


def main() -> None:
    """Synthesise for the account and region of the CLI's credentials, or for any account if there are none."""
    account, region = os.environ.get("CDK_DEFAULT_ACCOUNT"), os.environ.get("CDK_DEFAULT_REGION")
    app = make_app()
    try:
        build(app, Environment(account=account, region=region) if account and region else None)
    except (ConfigurationError, PenstockError) as error:
        sys.exit(str(error))
    try:
        app.synth()
    except RuntimeError as error:  # the library raises no other; it has printed the findings
        sys.exit(str(error))


if __name__ == "__main__":
    main()
