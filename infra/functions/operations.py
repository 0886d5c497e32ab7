"""The task that runs `penstock` commands inside the network, where alone the cluster can be reached.

It is a CodeBuild project, not a Fargate task, because a folder of code in S3 is all that it needs: with Fargate there
would be a Docker image to build, to store and to keep patched, and a cluster to name at every start. Start it with

    aws codebuild start-build --project-name change-streams-demo-operations \
        --environment-variables-override name=PENSTOCK_COMMAND,value="load"
"""

from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import Duration
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Configuration
from infra.documentdb import DocumentDbStack
from infra.functions.accepted import accept
from infra.functions.assets import PYTHON
from infra.functions.domain_access import operations_requests, policy
from infra.functions.functions import function_logs, private_subnets
from infra.functions.names import OPERATIONS
from infra.functions.roles import secret_access
from infra.functions.variables import chosen
from infra.network import NetworkStack
from infra.opensearch import OpenSearchStack
from penstock.lambdas.environment import OPERATIONS_VARIABLES

COMMAND: Final = "PENSTOCK_COMMAND"
DEFAULT_COMMAND: Final = "status"

# The command is split into words here and no shell reads it. It is taken out of the environment, where penstock
# refuses every PENSTOCK_ name that is no setting.
RUN: Final = (
    "import os, shlex, sys; "
    f"sys.argv = ['penstock', *shlex.split(os.environ.pop('{COMMAND}'))]; "
    "from penstock.cli import main; main()"
)


class Operations(Construct):
    """The project, its role and its logs; and the rule that starts it, when there is a schedule."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        network: NetworkStack,
        documentdb: DocumentDbStack,
        opensearch: OpenSearchStack,
        queue: sqs.IQueue,
        folder: str,
        values: Mapping[str, str],
    ) -> None:
        super().__init__(scope, name)
        code = s3_assets.Asset(self, "Code", path=folder)
        self.project = codebuild.Project(
            self,
            "Project",
            project_name=OPERATIONS,
            description=f"Runs `penstock` with the words of {COMMAND} inside the network.",
            source=codebuild.Source.s3(bucket=code.bucket, path=code.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(_build_spec()),
            environment=_machine(configuration),
            environment_variables={
                name: codebuild.BuildEnvironmentVariable(value=value)
                for name, value in {**chosen(OPERATIONS_VARIABLES, values), COMMAND: DEFAULT_COMMAND}.items()
            },
            role=iam.Role(
                self,
                "Role",
                assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"),
                inline_policies={
                    "DocumentDbSecretAccess": secret_access(documentdb.secret, "DocumentDbSecretAccess"),
                    "OpenSearchAccess": policy(opensearch.domain.domain_arn, operations_requests(configuration.index)),
                    "ParkingQueueAccess": _queue_access(queue),
                },
            ),
            logging=codebuild.LoggingOptions(
                cloud_watch=codebuild.CloudWatchLoggingOptions(
                    log_group=function_logs(self, "Logs", f"/aws/codebuild/{OPERATIONS}")
                )
            ),
            timeout=Duration.hours(8),
            vpc=network.vpc,
            subnet_selection=private_subnets(network),
            security_groups=[network.functions_group],
        )
        if configuration.schedule:
            self._schedule(configuration)
        _accept(self)

    def _schedule(self, configuration: Configuration) -> None:
        override = {"name": COMMAND, "value": configuration.scheduled_command, "type": "PLAINTEXT"}
        events.Rule(
            self,
            "Schedule",
            description=f"Runs `penstock {configuration.scheduled_command}`.",
            schedule=events.Schedule.expression(configuration.schedule),
            targets=[
                targets.CodeBuildProject(
                    self.project,
                    event=events.RuleTargetInput.from_object({"environmentVariablesOverride": [override]}),
                )
            ],
        )


def _build_spec() -> dict[str, Any]:
    return {
        "version": "0.2",
        "phases": {
            "install": {"runtime-versions": {"python": PYTHON}},
            "build": {"commands": [f'python -c "{RUN}"']},
        },
    }


def _machine(configuration: Configuration) -> codebuild.BuildEnvironment:
    images: dict[str, codebuild.IBuildImage] = {
        "x86_64": codebuild.LinuxBuildImage.AMAZON_LINUX_2023_6,
        "arm64": codebuild.LinuxArmBuildImage.AMAZON_LINUX_2023_STANDARD_4_0,
    }
    return codebuild.BuildEnvironment(
        build_image=images[configuration.architecture], compute_type=codebuild.ComputeType.SMALL, privileged=False
    )


def _queue_access(queue: sqs.IQueue) -> iam.PolicyDocument:
    """Replay takes messages and deletes them; what it cannot write goes back."""
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage"]
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                sid="ParkingQueueAccess",
                actions=[*actions, "sqs:GetQueueAttributes"],
                resources=[queue.queue_arn],
            )
        ]
    )


def _accept(operations: Operations) -> None:
    accept(
        operations,
        "It has no artifacts and no cache, and its source is the CDK's own bucket, which is encrypted.",
        "AwsSolutions-CB4",
    )
