"""What the functions and the task are called, as in the sample."""

from typing import Final

APPLICATION: Final = "change-streams-demo"

API: Final = APPLICATION
DASHBOARD: Final = APPLICATION
OPERATIONS: Final = f"{APPLICATION}-operations"


def function_name(name: str) -> str:
    """`change-streams-demo-sync` of `sync`."""
    return f"{APPLICATION}-{name}"
