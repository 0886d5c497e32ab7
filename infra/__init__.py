"""The reference deployment on AWS: four CDK stacks. Importing it readies Node, before anything imports aws_cdk."""

from infra.node import use_node_of_the_wheel

use_node_of_the_wheel()
