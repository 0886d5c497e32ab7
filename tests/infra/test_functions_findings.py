"""Accepted findings are accepted in every configuration, and the template is sound."""

import pytest

from testkit.functions_template import AS_IN_SAMPLE, OTHER, STACK
from testkit.synthesis import synthesise

CONTEXTS = [{}, OTHER, AS_IN_SAMPLE, {"profile": "production"}]


@pytest.mark.parametrize("context", CONTEXTS)
def test_nothing_stands_against_it_unless_accepted(synthesis, context):
    assert not [finding for finding in synthesis(context).findings if STACK in finding]


def test_nothing_stands_against_it_when_account_and_region_are_known(tmp_path):
    found = synthesise(tmp_path, OTHER, account="123456789012", region="eu-west-1")
    assert not [finding for finding in found.findings if STACK in finding]


@pytest.mark.parametrize("context", CONTEXTS)
def test_everything_that_can_be_tagged_is(synth, context):
    resources = synth(context)[STACK].content["Resources"].values()
    tagged = {each["Type"] for each in resources if "Tags" in each.get("Properties", {})}
    assert {
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::Function",
        "AWS::IAM::Role",
        "AWS::SQS::Queue",
        "AWS::CodeBuild::Project",
        "AWS::ApiGateway::RestApi",
        "AWS::Logs::LogGroup",
        "AWS::CloudWatch::Alarm",
    } <= tagged
