"""The worker's image: the project's Dockerfile with the deployment's settings, or one that exists.

Nothing is built at synthesis: the folder is an asset, which Docker builds when it is deployed.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.configuration import Configuration
from penstock.lambdas.environment import SETTINGS_FOLDER

ROOT: Final = Path(__file__).parents[1]

CONTEXT: Final = ("Dockerfile", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "src")
"""What the Dockerfile copies, and itself."""

_IN_ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[\w-]+)\.amazonaws\.com(\.cn)?/(?P<name>[\w./-]+)[:@](?P<tag>.+)"
)


def worker_image(scope: Construct, configuration: Configuration) -> ecs.ContainerImage:
    """Return the image of `-c image=`, or the one that is built."""
    if not configuration.image:
        platforms = {"arm64": ecr_assets.Platform.LINUX_ARM64, "x86_64": ecr_assets.Platform.LINUX_AMD64}
        return ecs.ContainerImage.from_asset(
            build_context(configuration), platform=platforms[configuration.worker_architecture]
        )
    if found := _IN_ECR.fullmatch(configuration.image):
        arn = f"arn:aws:ecr:{found['region']}:{found['account']}:repository/{found['name']}"
        repository = ecr.Repository.from_repository_attributes(
            scope, "Repository", repository_arn=arn, repository_name=found["name"]
        )
        return ecs.ContainerImage.from_ecr_repository(repository, found["tag"])
    return ecs.ContainerImage.from_registry(configuration.image)


def build_context(configuration: Configuration) -> str:
    """Return a folder in which Docker builds the image, with settings, mapping files and functions in it."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-image-"))
    for name in CONTEXT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / name)
    collections = configuration.synced
    if not collections.inline:
        collections.write_into(folder / "settings")
        with (folder / "Dockerfile").open("a", encoding="utf-8") as file:
            file.write(f"COPY settings/ {SETTINGS_FOLDER}/\n")
    return str(folder)
