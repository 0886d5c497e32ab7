"""The settings: their declarations, and how they are read from a file, the environment and the flags.

declared     every setting, once: its name, type, default and description; here the sections, and all together
collections  a collection and its index
reactions    a reaction
log          Apache Kafka and its topics
reading      `read_settings`: flags win over the environment, the environment over the file
table        the declarations as rows, for the command line, `penstock init` and docs/settings.md
section      what sections and tables are made of
checks       what a single setting must be, beyond its type
problems     what is wrong, in the terms of the person who wrote the settings
aws_names    variables that have other names in AWS deployments
"""

from penstock.settings.checks import RESERVED_FIELD
from penstock.settings.collections import CollectionSettings, ConflictPolicy, FoundCollection
from penstock.settings.declared import (
    ConsoleSettings,
    ObserveSettings,
    PipelineSettings,
    Settings,
    SinkSettings,
    SourceSettings,
)
from penstock.settings.log import LogSettings, TopicSettings
from penstock.settings.reactions import ReactionSettings
from penstock.settings.reading import read_settings, settings_path

__all__ = [
    "RESERVED_FIELD",
    "CollectionSettings",
    "ConflictPolicy",
    "ConsoleSettings",
    "FoundCollection",
    "LogSettings",
    "ObserveSettings",
    "PipelineSettings",
    "ReactionSettings",
    "Settings",
    "SinkSettings",
    "SourceSettings",
    "TopicSettings",
    "read_settings",
    "settings_path",
]
