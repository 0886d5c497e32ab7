"""Clients of AWS services with botocore (extra `aws`): it finds credentials, region and endpoints as AWS tools do."""

import os
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session, get_session

from penstock.errors import SettingsError

_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
"""A function with little time left must not wait long for one answer."""


@cache
def session() -> Session:
    """Return the session of this process."""
    return get_session()


def service(name: str, *, region: str | None = None) -> Any:
    """Return a client of a service. Raises SettingsError if no region is known."""
    region = region or region_here()
    if not region:
        raise SettingsError("No AWS region is set: set AWS_REGION, or a region in the AWS profile.")
    return session().create_client(name, region_name=region, config=_CONFIG)


def region_here() -> str | None:
    """Return the region of the environment or the profile."""
    return session().get_config_variable("region") or os.environ.get("AWS_REGION")
