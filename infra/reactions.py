"""Reactions of the deployment: those of the settings file, and what a new document can start.

That is a bus, a rule, a state machine that runs for each new document, and a topic that it tells. The functions that
put new documents on the bus are `penstock_cdk.reactions`, as for any reaction; there is one for each database, as a
reaction has the collections of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra.configuration import Configuration
from penstock.lambdas.environment import APPLICATION
from penstock.model import Namespace
from penstock_cdk import metrics
from penstock_cdk.alarms import Alarms
from penstock_cdk.collections import Collections
from penstock_cdk.findings import accept
from penstock_cdk.functions import LOGS_KEPT
from penstock_cdk.names import short
from penstock_cdk.reactions import Reaction, Reactions
from penstock_tools.aws.outlook import NEW_DOCUMENTS, PATTERN, definition

_TRIED: Final = Duration.hours(24)
"""How long EventBridge tries to start the state machine: as long as it can."""


def declared_reactions(scope: Construct, configuration: Configuration) -> list[Reaction]:
    """Return the reactions of the settings file. The secret of a webhook is new, unless the context names one."""
    collections, named = configuration.collections, dict(configuration.reaction_secrets)
    tables = zip(collections.reactions, collections.reaction_tables, strict=True)
    return [
        Reaction(
            table,
            secret=_secret(scope, each.name, named.get(each.name), configuration) if each.target == "webhook" else None,
            folder=collections.folder,
        )
        for each, table in tables
    ]


def by_mappings(
    scope: Construct, reactions: Sequence[Reaction], configuration: Configuration, deployed: Mapping[str, Any]
) -> Reactions:
    """Make the functions and mappings of reactions. `deployed` has the parts that they stand on."""
    return Reactions(
        scope,
        "Reactions",
        **{part: deployed[part] for part in ("network", "cluster", "domain", "code", "streams", "architecture")},
        reactions=reactions,
        change_log_retention_hours=configuration.change_log_retention_hours,
    )


def _secret(scope: Construct, reaction: str, arn: str | None, configuration: Configuration) -> secretsmanager.ISecret:
    name = f"Secret{short(reaction)}"
    if arn:
        return secretsmanager.Secret.from_secret_complete_arn(scope, name, arn)
    secret = secretsmanager.Secret(
        scope,
        name,
        description=f"Signs the requests of the reaction {reaction}.",
        generate_secret_string=secretsmanager.SecretStringGenerator(password_length=43, exclude_punctuation=True),
        removal_policy=RemovalPolicy.RETAIN if configuration.is_production else RemovalPolicy.DESTROY,
    )
    accept(
        secret,
        {"AwsSolutions-SMG4": "The receiver has to know a new secret at the same time: whoever has both changes it."},
    )
    CfnOutput(
        scope, f"Webhook{short(reaction)}", value=secret.secret_arn, description=f"Secret of the webhook {reaction}."
    )
    return secret


class NewDocuments(Construct):
    """A state machine that runs for each new document; `reactions` are the functions that put documents on its bus."""

    def __init__(
        self, scope: Construct, name: str, *, configuration: Configuration, deployed: Mapping[str, Any]
    ) -> None:
        """`deployed` are the parts that constructs of penstock_cdk stand on."""
        super().__init__(scope, name)
        bus = events.EventBus(self, "Bus", event_bus_name=APPLICATION, description="Changes of collections.")
        topic = sns.Topic(self, "Topic", display_name="New documents", enforce_ssl=True)
        machine, unstarted = self._machine(topic), self._unstarted()
        events.Rule(
            self,
            "Rule",
            event_bus=bus,
            description="New documents start the state machine.",
            event_pattern=events.EventPattern(source=PATTERN["source"], detail_type=PATTERN["detail-type"]),
            targets=[
                targets.SfnStateMachine(machine, dead_letter_queue=unstarted, retry_attempts=185, max_event_age=_TRIED)
            ],
        )
        self.reactions = by_mappings(
            self, _new_documents(deployed["collections"], bus_name=APPLICATION), configuration, deployed
        )
        self.reactions.node.add_dependency(bus)
        alarms = Alarms(self, "Alarms")
        alarms.add(
            "Unstarted",
            unstarted.metric_approximate_number_of_messages_visible(period=metrics.PERIOD, statistic="Maximum"),
            1,
            "EventBridge could not start the state machine for a new document within a day, or is not allowed to. The "
            "event is in the queue of the output UnstartedQueue, with the reason among its attributes.",
        )
        self.alarms = alarms.all
        CfnOutput(
            self, "UnstartedQueue", value=unstarted.queue_url, description="Events that started no state machine."
        )
        CfnOutput(self, "NewDocumentsTopic", value=topic.topic_arn, description="Subscribe to hear of new documents.")

    def _unstarted(self) -> sqs.Queue:
        """Where EventBridge puts events that it could give to no state machine."""
        queue = sqs.Queue(
            self,
            "Unstarted",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=RemovalPolicy.DESTROY,
        )
        accept(queue, {"AwsSolutions-SQS3": "It is a dead-letter queue itself; an alarm says when it holds anything."})
        return queue

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


def _new_documents(collections: Collections, *, bus_name: str) -> list[Reaction]:
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
