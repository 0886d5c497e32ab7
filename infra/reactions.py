"""What a change can start: a bus, a rule, a state machine that runs for each new document, and a topic that it tells.

The functions that put new documents on the bus are `penstock_cdk.reactions`, as for any reaction; there is one for each
database, as a reaction has the collections of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra.configuration import Configuration
from penstock.lambdas.environment import APPLICATION
from penstock.model import Namespace
from penstock_cdk.collections import Collections
from penstock_cdk.findings import accept
from penstock_cdk.functions import LOGS_KEPT
from penstock_cdk.names import short
from penstock_cdk.reactions import Reaction, Reactions
from penstock_tools.aws.outlook import NEW_DOCUMENTS, PATTERN, definition


class NewDocuments(Construct):
    """A state machine that runs for each new document; `alarms` and `roles` are those of the functions of it."""

    def __init__(
        self, scope: Construct, name: str, *, configuration: Configuration, deployed: Mapping[str, Any]
    ) -> None:
        """`deployed` are the parts that constructs of penstock_cdk stand on."""
        super().__init__(scope, name)
        bus = events.EventBus(self, "Bus", event_bus_name=APPLICATION, description="Changes of collections.")
        topic = sns.Topic(self, "Topic", display_name="New documents", enforce_ssl=True)
        machine = self._machine(topic)
        events.Rule(
            self,
            "Rule",
            event_bus=bus,
            description="New documents start the state machine.",
            event_pattern=events.EventPattern(source=PATTERN["source"], detail_type=PATTERN["detail-type"]),
            targets=[targets.SfnStateMachine(machine)],
        )
        reactions = Reactions(
            self,
            "Reactions",
            **{part: deployed[part] for part in ("network", "cluster", "domain", "code", "streams", "architecture")},
            reactions=_reactions(deployed["collections"], bus_name=APPLICATION),
            change_log_retention_hours=configuration.change_log_retention_hours,
        )
        reactions.node.add_dependency(bus)
        self.alarms: Sequence[cloudwatch.Alarm] = reactions.alarms
        self.roles: dict[str, iam.IRole] = {f"React{short(name)}": role for name, role in reactions.roles.items()}
        CfnOutput(self, "NewDocumentsTopic", value=topic.topic_arn, description="Subscribe to hear of new documents.")

    def _machine(self, topic: sns.Topic) -> stepfunctions.StateMachine:
        stack = Stack.of(self)
        machine = stepfunctions.StateMachine(
            self,
            "StateMachine",
            state_machine_name=f"{APPLICATION}-new-documents",
            definition_body=stepfunctions.DefinitionBody.from_string(
                stack.to_json_string(definition(topic.topic_arn, stack.partition))
            ),
            logs=stepfunctions.LogOptions(
                destination=logs.LogGroup(
                    self,
                    "Logs",
                    log_group_name=f"/aws/vendedlogs/states/{APPLICATION}-new-documents",
                    retention=LOGS_KEPT,
                    removal_policy=RemovalPolicy.DESTROY,
                ),
                level=stepfunctions.LogLevel.ALL,
                include_execution_data=False,  # it would log documents
            ),
            tracing_enabled=True,
        )
        topic.grant_publish(machine)
        accept(
            machine,
            {
                "AwsSolutions-IAM5[Resource::*]": "The delivery of logs and X-Ray have no resources to name; the "
                "actions only set them up and write."
            },
        )
        return machine


def _reactions(collections: Collections, *, bus_name: str) -> list[Reaction]:
    by_db: dict[str, list[str]] = {}
    for each in collections.tables:
        by_db.setdefault(Namespace.named(each.namespace).db, []).append(each.namespace)
    return [
        Reaction(
            {
                "name": NEW_DOCUMENTS if len(by_db) == 1 else f"{NEW_DOCUMENTS}-{short(db)}",
                "collections": namespaces,
                "kinds": ["insert"],
                "target": "eventbridge",
                "bus": bus_name,
            }
        )
        for db, namespaces in by_db.items()
    ]
