"""What an action checks of its form."""

from starlette.datastructures import ImmutableMultiDict

from penstock.errors import SettingsError


def require_typed(form: ImmutableMultiDict[str, str], name: str) -> None:
    """Make sure that somebody typed the name of what cannot be undone. Raises SettingsError."""
    if str(form.get("typed", "")).strip() != name:
        raise SettingsError(f"Nothing was done: this cannot be undone, so type the name to confirm it: {name}")
