"""Every way in which changes are late, refused or lost has an alarm that says what to do."""

import pytest

from penstock.lambdas.embedded_metrics import DIMENSION, UNITS
from penstock.observe.embedded_metrics import NAMESPACE
from testkit.functions_template import OTHER, STACK, plain, properties

ALARM = "AWS::CloudWatch::Alarm"
MORE = "GreaterThanOrEqualToThreshold"
LESS = "LessThanOrEqualToThreshold"


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[STACK]


def alarm(template, name):
    return properties(template, ALARM, AlarmName=f"change-streams-demo-{name}")


def dimensions(found):
    return {each["Name"]: plain(each["Value"]) for each in found["Dimensions"]}


def sync(template):
    (name,) = template.find_resources("AWS::Lambda::Function", FunctionName="change-streams-demo-sync")
    return name


@pytest.mark.parametrize(
    ("name", "metric", "statistic", "threshold"),
    [
        ("mapping-age", ("AWS/Lambda", "IteratorAge"), "Maximum", 900_000),
        ("sync-errors", ("AWS/Lambda", "Errors"), "Sum", 1),
        ("oversized-records", ("AWS/Lambda", "OversizedRecordCount"), "Sum", 1),
        ("dead-letters", ("penstock", "DeadLettered"), "Sum", 1),
        ("systemic-faults", ("penstock", "SystemicFaults"), "Sum", 1),
        ("unreconciled", ("penstock", "Unreconciled"), "Maximum", 1),
        ("lag-against-change-log", ("penstock", "LagSeconds"), "Maximum", 12 * 3600),
    ],
)
def test_alarms_of_the_sync_function_and_its_mapping(template, name, metric, statistic, threshold):
    found = alarm(template, name)
    assert (found["Namespace"], found["MetricName"]) == metric
    assert (found["Statistic"], found["Threshold"], found["ComparisonOperator"]) == (statistic, threshold, MORE)
    assert dimensions(found) == {"FunctionName": sync(template)}


def test_the_lag_that_alarms_is_half_of_what_the_change_log_keeps(synth):
    assert alarm(synth(OTHER)[STACK], "lag-against-change-log")["Threshold"] == 5 * 3600


def test_an_alarm_of_parked_keys(template):
    found = alarm(template, "parked-keys")
    (queue,) = template.find_resources("AWS::SQS::Queue")
    assert (found["Namespace"], found["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert dimensions(found) == {"QueueName": f"{queue}.QueueName"}
    assert (found["Threshold"], found["ComparisonOperator"]) == (1, MORE)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("oversized-records", "The mapping dropped an event above 6 MB: run `penstock verify --repair`."),
        ("parked-keys", "`penstock dead-letters replay --queue`"),
        ("dead-letters", "`penstock dead-letters list`"),
        ("lag-against-change-log", "change_log_retention_hours"),
    ],
)
def test_an_alarm_says_what_to_do(template, name, says):
    assert says in alarm(template, name)["AlarmDescription"]


@pytest.mark.parametrize(
    ("name", "metric", "threshold", "comparison"),
    [
        ("domain-free-storage", "FreeStorageSpace", 2048, LESS),
        ("domain-jvm-memory", "JVMMemoryPressure", 85, MORE),
        ("domain-red", "ClusterStatus.red", 1, MORE),
    ],
)
def test_alarms_of_the_domain(template, name, metric, threshold, comparison):
    found = alarm(template, name)
    assert (found["Namespace"], found["MetricName"]) == ("AWS/ES", metric)
    assert (found["Threshold"], found["ComparisonOperator"]) == (threshold, comparison)
    assert set(dimensions(found)) == {"DomainName", "ClientId"}
    assert dimensions(found)["ClientId"] == "AWS::AccountId"


def test_free_storage_is_measured_against_the_volume(synth):
    volume = properties(
        synth({"profile": "production"})["change-streams-demo-opensearch-stack"], "AWS::OpenSearchService::Domain"
    )["EBSOptions"]["VolumeSize"]
    found = alarm(synth({"profile": "production"})[STACK], "domain-free-storage")
    assert found["Threshold"] == volume * 1024 // 5 > 2048


def test_an_alarm_of_the_cluster(template):
    found = alarm(template, "cluster-cpu")
    assert (found["Namespace"], found["MetricName"]) == ("AWS/DocDB", "CPUUtilization")
    assert dimensions(found) == {"DBClusterIdentifier": "CLUSTER"}


def test_silence_is_no_alarm(template):
    alarms = template.find_resources(ALARM).values()
    assert {each["Properties"]["TreatMissingData"] for each in alarms} == {"notBreaching"}


def test_alarms_send_no_mail_without_an_address(template):
    assert not template.find_resources("AWS::SNS::Topic")


def test_alarms_send_mail_to_the_address(synth):
    template = synth(OTHER)[STACK]
    (topic,) = template.find_resources("AWS::SNS::Topic")
    subscription = properties(template, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "people@example.com")
    for found in template.find_resources(ALARM).values():
        assert found["Properties"]["AlarmActions"] == found["Properties"]["OKActions"] == [{"Ref": topic}]


def test_alarms_may_publish_and_only_over_tls(synth):
    """A topic with a policy of its own has no default one, which would let the account's alarms publish."""
    template = synth(OTHER)[STACK]
    statements = properties(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (topic,) = template.find_resources("AWS::SNS::Topic")
    (allowed,) = [each for each in statements if each["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (allowed["Action"], allowed["Resource"]) == ("sns:Publish", {"Ref": topic})
    (denied,) = [each for each in statements if each["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_dashboard_shows_every_alarm_and_the_metrics_of_penstock(template):
    dashboard = properties(template, "AWS::CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == "change-streams-demo"
    body = plain(dashboard["DashboardBody"])
    for name in (
        "Written",
        "Superseded",
        "Filtered",
        "DeadLettered",
        "Parked",
        "LagSeconds",
        "SystemicFaults",
        "Unreconciled",
    ):
        assert f'"penstock","{name}"' in body
    for name in ("IteratorAge", "OversizedRecordCount", "FreeStorageSpace", "JVMMemoryPressure", "Latency"):
        assert f'"{name}"' in body
    assert all(f"{name}.Arn" in body for name in template.find_resources(ALARM))


def test_the_sync_function_measures_what_is_watched(template):
    """A metric that nobody writes would never alarm."""
    body = plain(properties(template, "AWS::CloudWatch::Dashboard")["DashboardBody"])
    watched = {part.split('"')[0] for part in body.split(f'["{NAMESPACE}","')[1:]}
    watched |= {
        each["Properties"]["MetricName"]
        for each in template.find_resources(ALARM).values()
        if each["Properties"].get("Namespace") == NAMESPACE
    }
    assert watched <= set(UNITS)
    assert f'"{DIMENSION}"' in body
