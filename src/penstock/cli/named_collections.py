"""Collections named on the command line."""

import difflib
from collections.abc import Sequence

from penstock.errors import SettingsError
from penstock.settings import Settings


def declared(settings: Settings, namespaces: Sequence[str]) -> frozenset[str]:
    """The named collections, all when none is named; each must be declared."""
    known = {collection.namespace for collection in settings.collections}
    problems = []
    for name in namespaces:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or sorted(known)
            problems.append(f"{name} is not among the declared collections; there is {', '.join(near)}")
    if problems:
        raise SettingsError(*problems)
    return frozenset(namespaces or known)
