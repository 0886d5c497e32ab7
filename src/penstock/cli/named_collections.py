"""Collections named on the command line."""

import difflib
from collections.abc import Sequence

from penstock.errors import SettingsError
from penstock.settings import Settings


def declared(settings: Settings, namespaces: Sequence[str]) -> frozenset[str]:
    """Return the named collections, or all if none is named. Raises SettingsError for one that is not declared."""
    known = {collection.namespace for collection in settings.collections}
    problems = []
    for name in namespaces:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or sorted(known)
            problems.append(f"{name} is not a declared collection; did you mean {', '.join(near)}?")
    if problems:
        raise SettingsError(*problems)
    return frozenset(namespaces or known)
