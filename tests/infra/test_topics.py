"""Topics of Kafka bring the changes of collections that have [[topics]]; the others keep their change streams."""

import json

import pytest

from penstock.settings import read_settings
from penstock_cdk.names import readable
from testkit.functions_template import STACK, allows, plain, properties, statements

MAPPING = "AWS::Lambda::EventSourceMapping"
MSK = "arn:aws:kafka:eu-west-1:123456789012:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_shop-AbCdEf"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SETTINGS = """
[[collections]]
namespace = "shop.orders"
index = "shop-orders"
replicas = 0

[[collections]]
namespace = "shop.items"
index = "shop-items"
replicas = 0

[[topics]]
topic = "cdc.shop.orders"
collection = "shop.orders"
form = "keys"
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A context of these settings, with further keys."""
    file = tmp_path_factory.mktemp("settings") / "penstock.toml"
    file.write_text(SETTINGS)
    return lambda **more: {"collections": f"@{file}", **more}


@pytest.fixture(scope="module")
def by_role(context):
    return context(kafka_cluster_arn=MSK)


@pytest.fixture(scope="module")
def by_secret(context):
    return context(kafka_cluster_arn=MSK, kafka_secret=SECRET, kafka_secret_key=KEY, sync_functions="each")


@pytest.fixture(scope="module")
def of_ones_own(context):
    servers = "b-1.example:9096,b-2.example:9097"
    return context(kafka_bootstrap_servers=servers, kafka_secret=SECRET, kafka_login="BASIC_AUTH")


def of_topic(template):
    return properties(template, MAPPING, Topics=["cdc.shop.orders"])


def role(template, policy):
    """The role that has a policy of this name."""
    (found,) = (
        each["Properties"]
        for each in template.find_resources("AWS::IAM::Role").values()
        if any(one["PolicyName"] == policy for one in each["Properties"].get("Policies", []))
    )
    return found


def test_a_topic_of_amazon_msk_is_read_with_the_functions_role(synth, by_role):
    template = synth(by_role)[STACK]
    mapping = of_topic(template)
    assert mapping.pop("FunctionName")["Ref"] in template.find_resources("AWS::Lambda::Function")
    mapping.pop("Tags")
    assert mapping == {
        "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "change-streams-demo-sync.cdc.shop.orders"},
        "BatchSize": 1000,
        "EventSourceArn": MSK,
        "MaximumBatchingWindowInSeconds": 1,
        "StartingPosition": "TRIM_HORIZON",
        "Topics": ["cdc.shop.orders"],
    }
    of = MSK.replace(":cluster/", ":{}/")
    of_sync = role(template, "ESMKafkaAccess")
    assert allows(of_sync, "kafka:GetBootstrapBrokers", MSK)
    assert allows(of_sync, "kafka-cluster:ReadData", of.format("topic") + "/cdc.shop.orders")
    assert not allows(of_sync, "kafka-cluster:ReadData", of.format("topic") + "/cdc.shop.items")
    assert allows(of_sync, "kafka-cluster:AlterGroup", of.format("group") + "/change-streams-demo-sync.cdc.shop.orders")
    assert not any("kafka-cluster:WriteData" in actions for actions, _ in statements(of_sync))


def test_the_others_keep_their_change_streams(synth, by_role):
    template = synth(by_role)[STACK]
    mappings = template.find_resources(MAPPING).values()
    streams = [each["Properties"].get("DocumentDBEventSourceConfig") for each in mappings]
    assert [each["CollectionName"] for each in streams if each] == ["items"]
    (stream,) = template.find_resources("Custom::ChangeStream").values()
    assert stream["Properties"]["Collection"] == "items"


def test_a_topic_of_amazon_msk_is_read_with_a_secret(synth, by_secret):
    template = synth(by_secret)[STACK]
    assert of_topic(template)["SourceAccessConfigurations"] == [{"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}]
    of_sync = role(template, "ESMKafkaAccess")
    assert allows(of_sync, "secretsmanager:GetSecretValue", SECRET)
    assert allows(of_sync, "kms:Decrypt", KEY)
    assert allows(of_sync, "kafka:ListScramSecrets", MSK)
    assert not any(each.startswith("kafka-cluster:") for actions, _ in statements(of_sync) for each in actions)


def test_a_function_of_topics_alone_reads_the_source_and_no_change_stream(synth, by_secret):
    of_sync = role(synth(by_secret)[STACK], "ESMKafkaAccess")
    names = {each["PolicyName"] for each in of_sync["Policies"]}
    assert "DocumentDbSecretAccess" in names
    assert not any(each.startswith("ESMDocumentDb") for each in names)


def test_the_poller_of_another_kafka_stands_where_the_functions_stand(synth, of_ones_own):
    templates = synth(of_ones_own)
    mapping = of_topic(templates[STACK])
    assert "EventSourceArn" not in mapping
    assert mapping["SelfManagedEventSource"] == {
        "Endpoints": {"KafkaBootstrapServers": ["b-1.example:9096", "b-2.example:9097"]}
    }
    group = {"ConsumerGroupId": "change-streams-demo-sync.cdc.shop.orders"}
    assert mapping["SelfManagedKafkaEventSourceConfig"] == group
    access = [(each["Type"], plain(each["URI"])) for each in mapping["SourceAccessConfigurations"]]
    assert access == [
        ("BASIC_AUTH", SECRET),
        ("VPC_SUBNET", "subnet:PRIVATE-SUBNET-1"),
        ("VPC_SUBNET", "subnet:PRIVATE-SUBNET-2"),
        ("VPC_SECURITY_GROUP", access[-1][1]),
    ]
    assert access[-1][1].startswith("security_group:")
    text = json.dumps(templates["change-streams-demo-vpc-stack"].content)
    assert text.count("the poller to the Kafka brokers") == 2


def alarms(template, function):
    """What the alarms of a function watch: the metric, how long, and from where on."""
    (name,) = template.find_resources("AWS::Lambda::Function", FunctionName=f"change-streams-demo-{function}")
    of_function = [{"Name": "FunctionName", "Value": {"Ref": name}}]
    return {
        each["AlarmName"].removeprefix("change-streams-demo-"): each
        for each in (found["Properties"] for found in template.find_resources("AWS::CloudWatch::Alarm").values())
        if each.get("Dimensions") == of_function
    }


def test_records_that_pile_up_have_an_alarm_and_a_graph(synth, by_role):
    """One function of both kinds has the alarms of both."""
    template = synth(by_role)[STACK]
    of_sync = alarms(template, "sync")
    assert {"mapping-age", "lag-against-change-log", "sync-errors"} < set(of_sync)
    lag = of_sync["topic-lag"]
    assert (lag["Namespace"], lag["MetricName"], lag["Statistic"]) == ("AWS/Lambda", "OffsetLag", "Maximum")
    assert (lag["Threshold"], lag["Period"] * lag["EvaluationPeriods"]) == (10_000, 15 * 60)
    body = plain(properties(template, "AWS::CloudWatch::Dashboard")["DashboardBody"])
    assert body.count('"AWS/Lambda","OffsetLag"') == 1


def test_a_function_has_the_alarms_of_what_calls_it_alone(synth, by_secret):
    template = synth(by_secret)[STACK]
    of_streams = {"mapping-age", "oversized-records", "lag-against-change-log"}
    orders, items = (
        {name.removesuffix(f"-{each}") for name in alarms(template, f"sync-{each}")}
        for each in (readable("shop.orders"), readable("shop.items"))
    )
    assert orders - items == {"topic-lag"}
    assert items - orders == of_streams


@pytest.mark.parametrize("which", ["by_role", "by_secret", "of_ones_own"])
def test_nothing_stands_against_it(which, synthesis, request):
    assert synthesis(request.getfixturevalue(which)).findings == []


def test_the_functions_know_the_topics(context, tmp_path):
    from penstock_cdk.collections import Collections

    collections = Collections.read(context()["collections"])
    folder = tmp_path / "bundle"
    folder.mkdir()
    whole = read_settings(file=tmp_path.joinpath(collections.add_to(str(folder)), "penstock.toml"))
    assert [each.topic for each in whole.topics_of("shop.orders")] == ["cdc.shop.orders"]
    orders, items = (collections.layer(each) for each in collections.tables)
    assert read_settings(file=tmp_path.joinpath(orders, "penstock.toml")).topics == collections.topics
    assert read_settings(file=tmp_path.joinpath(items, "penstock.toml")).topics == ()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({}, r"\[\[topics\]\] need kafka_cluster_arn or kafka_bootstrap_servers"),
        ({"kafka_cluster_arn": MSK, "door": "worker"}, "kafka_cluster_arn and door=worker exclude each other"),
        ({"kafka_cluster_arn": "shop"}, "kafka_cluster_arn is 'shop': it must look like arn:aws:kafka"),
        ({"kafka_bootstrap_servers": "b-1:9096"}, "kafka_bootstrap_servers needs kafka_secret"),
        (
            {"kafka_bootstrap_servers": "b-1", "kafka_secret": SECRET},
            "it must be one or more, such as b-1.example:9096",
        ),
        ({"kafka_cluster_arn": MSK, "kafka_login": "BASIC_AUTH"}, "kafka_login needs kafka_secret"),
        (
            {"kafka_cluster_arn": MSK, "kafka_secret": SECRET, "kafka_login": "BASIC_AUTH"},
            "kafka_login: Amazon MSK takes SASL_SCRAM_512_AUTH only",
        ),
        ({"kafka_cluster_arn": MSK, "as_in_sample": "true"}, "kafka_cluster_arn and as_in_sample exclude each other"),
    ],
)
def test_what_does_not_go_together_is_refused(context, app, more, problem):
    from infra.configuration import Configuration, ConfigurationError

    for key, value in context(**more).items():
        app.node.set_context(key, value)
    with pytest.raises(ConfigurationError, match=problem):
        Configuration.from_context(app.node)


def test_a_kafka_without_topics_is_refused(app):
    from infra.configuration import Configuration, ConfigurationError

    app.node.set_context("kafka_cluster_arn", MSK)
    with pytest.raises(ConfigurationError, match=r"needs collections=@penstock\.toml with a \[\[topics\]\] table"):
        Configuration.from_context(app.node)


def test_a_worker_takes_the_settings_file_as_it_is(context, app):
    from infra.configuration import Configuration

    for key, value in context(door="worker").items():
        app.node.set_context(key, value)
    assert Configuration.from_context(app.node).synced.topics == ()
