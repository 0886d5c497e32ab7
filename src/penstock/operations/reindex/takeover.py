"""What people have put on the index that serves, and what becomes of it when another generation takes over.

Aliases are moved in the request that moves the read alias. Settings are given to the new index before that; a setting
that it cannot take is reported. An ingest pipeline must have seen every document, so it cannot be taken along at the
end: unless the mapping file names it, no new generation is begun. No index is deleted that has an alias left.
"""

from collections.abc import Callable, Iterable

from penstock.errors import SettingsError, SystemicFault
from penstock.opensearch.index.belongings import ChangedSetting, changed_settings, pipelines_of
from penstock.opensearch.index.mapping import body_for, flat_settings, pipelines_in
from penstock.opensearch.state.generations import GenerationRecord
from penstock.operations.reindex.generations import Generations

Say = Callable[[str], None]


def take_over(them: Generations, serving: GenerationRecord | None, to: GenerationRecord, say: Say) -> None:
    """Let a generation serve, with the settings and aliases that people gave to the one that serves.

    Raises SystemicFault when somebody drops it meanwhile, or when its alias cannot be moved.
    """
    if serving:
        _give_settings(them, serving, to, say)
    if moved := them.swap(to):
        say(f"{them.name}: {to.index} has taken over the aliases {', '.join(moved)}")


def require_pipelines_named(them: Generations, serving: GenerationRecord) -> None:
    """Raise SettingsError if documents go through a pipeline that the mapping file says nothing about."""
    named = flat_settings(them.declared.recipe.settings["mapping_file"].get("settings", {}))
    for each in pipelines_of(_changed(them, serving)):
        if each.name not in named:
            raise SettingsError(
                f"{them.name}: {serving.index} has the ingest pipeline {each.value} ({each.name}), which the settings"
                f" do not name, so a new index would be without it. Name it in the `settings` of the mapping_file; or"
                " write `_none` there to go on without it."
            )


def pipelines_warning(them: Generations, generation: GenerationRecord) -> list[str]:
    """Return what to do about the ingest pipelines of an index in which documents differ; empty without any."""
    settings = flat_settings((them.indexes.described(generation.index) or {"settings": {}})["settings"])
    found = pipelines_in(settings).values()
    what = (
        f"documents go through the ingest pipeline {', '.join(found)}: name the fields that it sets in `not_compared`"
    )
    return [what] if found else []


def require_nothing_lost(them: Generations, those: Iterable[GenerationRecord]) -> None:
    """Raise SystemicFault if people have put an alias on an index that is about to be deleted."""
    for each in those:
        if left := them.indexes.aliases_of_people(each.index, them.alias):
            raise SystemicFault(
                f"{them.name}: {each.index} is not deleted, because searches would lose its aliases"
                f" {', '.join(left)}. Move them to the index that serves, or remove them; then run the command again."
            )


def _give_settings(them: Generations, serving: GenerationRecord, to: GenerationRecord, say: Say) -> None:
    """Give an index what was set on the one that serves, unless the settings of penstock say otherwise since."""
    before, now = _asked(them, serving)["settings"], _asked(them, to)["settings"]
    has = flat_settings((them.indexes.described(to.index) or {"settings": {}})["settings"])
    changed = [each for each in _changed(them, serving) if has.get(each.name) != each.value]
    given, lost = list[str](), list[str]()
    for each in changed:
        moved_on = before.get(each.name) != now.get(each.name)
        reason = "the settings say otherwise" if moved_on else _given(them, to, each)
        (lost if reason else given).append(f"{each} ({reason})" if reason else str(each))
    if given:
        say(f"{them.name}: {to.index} has taken over the settings {', '.join(given)}")
    if lost:
        say(f"{them.name}: {to.index} does not have these settings of {serving.index}: {', '.join(lost)}")


def _given(them: Generations, to: GenerationRecord, setting: ChangedSetting) -> str:
    """Give one setting; return why that was not possible, empty if it was."""
    if pipelines_of([setting]):
        return "an ingest pipeline must see every document: name it in the mapping_file and reindex again"
    return them.indexes.give_setting(to.index, setting)


def _changed(them: Generations, generation: GenerationRecord) -> list[ChangedSetting]:
    described = them.indexes.described(generation.index)
    return changed_settings(described, _asked(them, generation)) if described else []


def _asked(them: Generations, generation: GenerationRecord) -> dict[str, dict[str, object]]:
    """Return the body that this generation was asked for with."""
    settings = generation.recipe.applied_to(them.declared.settings)
    return body_for(settings, mapping=generation.recipe.settings["mapping_file"], meta={})
