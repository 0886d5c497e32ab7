"""The task that runs `penstock` commands inside the network, the only place from which the cluster can be reached.

It is a CodeBuild project, not a Fargate task, because all it needs is a folder of code in S3: Fargate would need a
Docker image, which has to be built, stored and patched. Start it with

    aws codebuild start-build --project-name change-streams-demo-operations \
        --environment-variables-override name=PENSTOCK_COMMAND,value="load"
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Configuration
from infra.operations_role import OperationsRole
from penstock.lambdas.environment import APPLICATION, OPERATIONS_VARIABLES, QUEUE
from penstock.settings.checks import secret_variable
from penstock.settings.table import SETTINGS_VARIABLE
from penstock_cdk import metrics
from penstock_cdk.alarms import Alarms
from penstock_cdk.code import PYTHON
from penstock_cdk.collections import FILE
from penstock_cdk.findings import accept
from penstock_cdk.functions import known_logs
from penstock_cdk.parts import Cluster, Domain, Network
from penstock_cdk.reactions import Reaction
from penstock_cdk.variables import chosen

OPERATIONS: Final = f"{APPLICATION}-operations"

COMMAND: Final = "PENSTOCK_COMMAND"
DEFAULT_COMMAND: Final = "status"

# The command is split into words here, and no shell reads it. It is removed from the environment, because penstock
# refuses every PENSTOCK_ variable that is not a setting.
RUN: Final = (
    "import os, shlex, sys; "
    f"sys.argv = ['penstock', *shlex.split(os.environ.pop('{COMMAND}'))]; "
    "from penstock.cli import main; main()"
)


class Operations(Construct):
    """The project, its role and its log, and the rule that starts it if there is a schedule."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        network: Network,
        cluster: Cluster,
        domain: Domain,
        queue: sqs.IQueue | None,
        folder: str,
        values: Mapping[str, str],
        reactions: Sequence[Reaction] = (),
    ) -> None:
        """Make it. `reactions` are those whose dead letters are replayed: it knows their tables and secrets."""
        super().__init__(scope, name)
        tables = [each.table for each in reactions]
        code = s3_assets.Asset(self, "Code", path=configuration.synced.add_to(folder, tables))
        log_group = known_logs(self, "Logs", f"/aws/codebuild/{OPERATIONS}")
        names = [each for each in OPERATIONS_VARIABLES if queue or each != QUEUE]
        variables = {**chosen(names, values), COMMAND: DEFAULT_COMMAND}
        if reactions:
            variables[SETTINGS_VARIABLE] = FILE
        self.role = OperationsRole(
            self,
            "Role",
            configuration=configuration,
            network=network,
            cluster=cluster,
            domain=domain,
            queue=queue,
            code=code,
            log_group=log_group,
            reactions=reactions,
        )
        self.project = codebuild.Project(
            self,
            "Project",
            project_name=OPERATIONS,
            description=f"Runs `penstock` with the words of {COMMAND} inside the network.",
            source=codebuild.Source.s3(bucket=code.bucket, path=code.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(_build_spec()),
            environment=_machine(configuration),
            environment_variables={
                **{name: codebuild.BuildEnvironmentVariable(value=value) for name, value in variables.items()},
                **_secrets(reactions),
            },
            role=self.role.without_policy_updates(),
            logging=codebuild.LoggingOptions(cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=log_group)),
            timeout=Duration.hours(8),
            vpc=network.vpc,
            subnet_selection=network.selection,
            security_groups=[network.group],
        )
        accept(
            self.project,
            {
                "AwsSolutions-CB4": "It produces nothing that could be encrypted: no artifacts, no cache, no reports.",
                "AwsSolutions-IAM5[Resource::*]": "Of a policy that is not deployed: the role takes none but its own.",
            },
        )
        self.alarms = self._schedule(configuration) if configuration.schedule else []

    def _schedule(self, configuration: Configuration) -> list[cloudwatch.Alarm]:
        """Start it by a rule, and return the alarm that says when it has failed."""
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
        alarms = Alarms(self, "Alarms")
        alarms.add(
            "OperationsFailed",
            self.project.metric_failed_builds(period=metrics.PERIOD, statistic="Sum"),
            1,
            "A command of the operations task failed; a scheduled verify does when index and collection differ. "
            f"The log /aws/codebuild/{OPERATIONS} says what.",
        )
        return alarms.all


def _secrets(reactions: Sequence[Reaction]) -> dict[str, codebuild.BuildEnvironmentVariable]:
    """Return the variables that CodeBuild fills from Secrets Manager, and masks in the log."""
    return {
        secret_variable(str(each.table["name"])): codebuild.BuildEnvironmentVariable(
            value=each.secret.secret_arn, type=codebuild.BuildEnvironmentVariableType.SECRETS_MANAGER
        )
        for each in reactions
        if each.secret
    }


def _build_spec() -> dict[str, Any]:
    return {
        "version": "0.2",
        "phases": {
            "install": {"runtime-versions": {"python": PYTHON}},  # already in the image: nothing is fetched
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
