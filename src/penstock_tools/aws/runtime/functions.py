"""The functions of a deployment, by name."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from penstock_tools.aws.runtime.function import LambdaFunction
from penstock_tools.aws.runtime.invocation import Invocation


class Functions:
    """A context manager that enters and leaves every function; `invoke` is an `Invoke`."""

    def __init__(self, functions: Iterable[LambdaFunction]) -> None:
        self._by_name = {function.name: function for function in functions}
        self._stack = ExitStack()

    def __enter__(self) -> "Functions":
        with ExitStack() as stack:
            for function in self:
                stack.enter_context(function)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[LambdaFunction]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> LambdaFunction:
        return self._by_name[name]

    def invoke(self, name: str, payload: bytes) -> Invocation:
        """Call a function by its name. Raises KeyError for an unknown one."""
        return self[name].invoke(payload)
