"""The queue keeps parked keys until a person replays them."""

from testkit.functions_template import STACK, properties


def test_the_queue_is_encrypted_and_keeps_messages_for_two_weeks(synth):
    queue = properties(synth({})[STACK], "AWS::SQS::Queue")
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert "RedrivePolicy" not in queue


def test_the_queue_refuses_plain_http(synth):
    (statement,) = properties(synth({})[STACK], "AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "sqs:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_queue_goes_with_a_demo_and_outlives_production(synth):
    policies = [
        next(iter(synth(context)[STACK].find_resources("AWS::SQS::Queue").values()))["DeletionPolicy"]
        for context in ({}, {"profile": "production"})
    ]
    assert policies == ["Delete", "Retain"]
