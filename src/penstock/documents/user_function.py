"""The user's function: imported from its own file or package, and from nowhere else in its folder.

The folder is never on the path of imports: a file in it that is named like a module of Python, or of a package that
penstock may use, must not run in place of that one.
"""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from penstock.errors import SettingsError

UserFunction = Callable[[dict[str, Any]], Any]
"""A collection's takes a document and returns one, or None; a reaction's takes an event."""

_folders: list[Path] = []
_imported: set[str] = set()


def look_in(folder: Path) -> None:
    """Find functions in this folder from now on: that of the settings file. The current one always counts."""
    _folders[:] = [folder]


def folder() -> Path | None:
    """Return the folder of `look_in`, for another process."""
    return _folders[0] if _folders else None


def import_function(named: str, of: str, *, takes: str = "document") -> UserFunction:
    """Return the function that the settings of something name, as `module:function`. Raises SettingsError."""
    module_name, _, name = named.partition(":")
    where = f"{of}: function {named}"
    try:
        module = _module(module_name)
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {str(error)[:200]}"
        file = f"{module_name.replace('.', '/')}.py"
        advice = f"put {file} next to penstock.toml or install it, and try `python -c 'import {module_name}'`"
        raise SettingsError(f"{where}: the module {module_name} cannot be imported ({cause}); {advice}") from error
    function = getattr(module, name, None)
    if not callable(function):
        found = "has no function of that name" if function is None else f"has {name}, which is not a function"
        raise SettingsError(f"{where}: the module {module_name} {found}; correct `function` in the settings")
    _check_signature(function, where, takes)
    return function  # type: ignore[no-any-return]


@cache
def source_of(function: UserFunction | None) -> str:
    """Return the text of the whole module, because what the function calls there shapes the documents as well.

    It is read once: a file that changes later is not the code that runs here.
    """
    if function is None:
        return ""
    module = inspect.getmodule(function)
    try:
        return inspect.getsource(module if module is not None else function)
    except (OSError, TypeError):  # no source available: a compiled module
        return ""


def _module(name: str) -> ModuleType:
    """Import a module: the user's own, else an installed one."""
    top = name.partition(".")[0]
    importlib.invalidate_caches()
    for folder in dict.fromkeys((*_folders, Path.cwd())):
        spec = PathFinder.find_spec(top, [str(folder)])
        if spec is not None and spec.loader is not None:
            with _siblings(folder):
                own = _own(top, spec)
                return own if name == top else importlib.import_module(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        plain = next((each / top for each in (*_folders, Path.cwd()) if (each / top).is_dir()), None)
        if plain and error.name == top:
            raise ImportError(f"the folder {plain} has no __init__.py; add one, which may be empty") from None
        raise


def _own(name: str, spec: ModuleSpec) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == spec.origin:
        return known
    if name in sys.stdlib_module_names or (known is not None and name not in _imported):
        raise ImportError(f"{spec.origin} has the name of a module that Python or penstock uses; rename the file")
    for each in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[each]
    module = sys.modules[name] = module_from_spec(spec)
    _imported.add(name)
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _siblings(folder: Path) -> Iterator[None]:
    """While the module is imported it may import others of its folder, behind everything that is installed."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def place_of(error: BaseException) -> str:
    """Return where a function's error arose. Not its message, which may quote the document."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in line {last.lineno} of {os.path.basename(last.filename)}"


def _check_signature(function: UserFunction, where: str, takes: str) -> None:
    try:
        inspect.signature(function).bind({})
    except TypeError as error:
        raise SettingsError(f"{where}: it does not accept one argument, the {takes}; change its parameters") from error
    except ValueError:  # a function without a signature, such as some compiled ones
        return
