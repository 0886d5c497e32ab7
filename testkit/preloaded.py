"""Imported by the process from which the tests fork commands: what every command begins with, done once."""

import gc

import pytest  # noqa: F401 (what is forked from a test has its main module)

import penstock.capture
import penstock.cli.processes
import penstock.cli.progress
import penstock.console.server
import penstock.delivery.topics.from_time
import penstock.delivery.topics.service
import penstock.observe.embedded_metrics
import penstock.observe.logs
import penstock.operations.check.check
import penstock.operations.check.log
import penstock.operations.dead_letters.reactions
import penstock.operations.dead_letters.replay
import penstock.operations.explain.explain
import penstock.operations.init
import penstock.operations.reindex.cutover
import penstock.operations.reindex.reindex
import penstock.operations.status.history
import penstock.operations.status.status
import penstock.operations.suggest.proposal
import penstock.operations.suggest.sampling
import penstock.operations.verify.everything
import penstock.runtime.allocation
import penstock.worker.worker  # noqa: F401
import testkit.workspace  # noqa: F401
from penstock.cli.app import commands
from penstock.settings import Settings

commands()
Settings.model_validate({"collections": [{"namespace": "shop.orders", "index": "orders"}]})
gc.collect()
gc.freeze()
"""A command that looks for cycles before it begins, as a worker does, would touch and so copy all of this."""
