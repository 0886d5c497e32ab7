"""A deployment that exists keeps what it has: CloudFormation replaces what gets another logical id, with its data."""

import json
from pathlib import Path

import pytest

RECORDED = json.loads(Path(__file__).with_name("logical_ids.json").read_text())
CONTEXTS = {"default": {}, "production": {"profile": "production"}}


@pytest.mark.parametrize("name", CONTEXTS)
def test_everything_keeps_its_logical_id(synth, name):
    """A deployment of the API is made anew with each change of it, under another id: it is left out."""
    for stack, recorded in RECORDED[name].items():
        resources = synth(CONTEXTS[name])[stack].content["Resources"]
        kept = {key: each["Type"] for key, each in resources.items() if each["Type"] != "AWS::ApiGateway::Deployment"}
        assert kept == recorded
