"""Real functions, made from a few lines of code, under the real runtime of Lambda."""

import textwrap
from contextlib import ExitStack

import pytest

from penstock_tools.aws.runtime.folder import runtime_folder
from penstock_tools.aws.runtime.function import LambdaFunction
from penstock_tools.servers.cache import cache_folder


@pytest.fixture(scope="session")
def runtime():
    return runtime_folder(cache_folder())


@pytest.fixture(scope="session")
def new_function(runtime, tmp_path_factory):
    """Make a function that is not entered yet; `code` is its module `it`, with a `handler`."""

    def new_function(code, *, name="tried", handler="it.handler", timeout_s=60.0, environment=None, **options):
        folder = tmp_path_factory.mktemp("function")
        (folder / "task").mkdir()
        (folder / "task" / "it.py").write_text(textwrap.dedent(code))
        return LambdaFunction(
            name,
            folder=folder / "task",
            runtime=runtime,
            handler=handler,
            environment=environment or {},
            timeout_s=timeout_s,
            memory_mb=256,
            log=folder / "logs" / f"{name}.log",
            region="eu-west-1",
            account="123456789012",
            **options,
        )

    return new_function


@pytest.fixture
def start(new_function):
    """Make a function and enter it until the test's end."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(new_function(*args, **options))
