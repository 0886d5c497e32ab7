"""The reference deployment on AWS: four CDK stacks, made of penstock_cdk's constructs.

Importing it readies Node, before anything imports aws_cdk.
"""

from penstock_cdk.node import use_node_of_the_wheel

use_node_of_the_wheel()
