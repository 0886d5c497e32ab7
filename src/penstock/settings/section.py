"""What every section and table of the settings is made of."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from penstock.settings import checks

ExistingFile = Annotated[Path, AfterValidator(checks.existing_file)]


class Section(BaseModel):
    """A section of the settings: unknown names are refused, values are immutable."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        defer_build=True,
        allow_inf_nan=False,
    )
