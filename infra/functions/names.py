"""Names that start with the application's name; the functions' names are in penstock.lambdas.environment."""

from typing import Final

from penstock.lambdas.environment import APPLICATION

API: Final = APPLICATION
DASHBOARD: Final = APPLICATION
OPERATIONS: Final = f"{APPLICATION}-operations"
