"""The result of calling a function."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invocation:
    """The result of a synchronous call.

    `function_error` is Lambda's term: None after a normal return, "Unhandled" if the function raised, timed out or
    died; `payload` is then the error's JSON (`errorType`, `errorMessage`).
    """

    payload: bytes
    function_error: str | None = None


Invoke = Callable[[str, bytes], Invocation]
"""Calls a function by its name with a JSON payload and waits for the result. Raises KeyError for an unknown name."""
