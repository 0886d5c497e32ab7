"""The collections of a deployment, with the settings that a worker has for them, and the files that they name."""

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.delivery.databases import require_mappable
from penstock.errors import SettingsError
from penstock.operations.init import toml_value
from penstock.settings import CollectionSettings, ReactionSettings, Settings, TopicSettings, read_settings
from penstock.settings.checks import COLLECTION_PLACE, secret_variable
from penstock_cdk import checks
from penstock_cdk.reaction_tables import IN_SECRETS_MANAGER, toml_table
from penstock_tools.bundle.stable import make_stable

FILE: Final = "penstock.toml"
"""The settings file in the bundle, which holds the tables and nothing else."""

LAYER: Final = "/opt"
"""Where Lambda puts the files of a layer; it imports modules from the folder `python` in it."""

_MAPPINGS: Final = "penstock-mappings"
_ENUMERATED: Final = 4
_ROOM: Final = 5_600
_OF_AN_INDEX, _OF_A_LETTER = 1_255, 15
"""Characters: what the rights on single indexes may take of the 10,240 of IAM for the inline policies of a role, the
largest of which is that of the operations; and what those on one index take, for itself and each letter of its name."""
_PREFIX: Final = 3


@dataclass(frozen=True)
class Collections:
    """The tables, and the folder by which the files that they name were found.

    `inline`: they travel in an environment variable instead of a file, as one without files may. `reactions` and
    `topics`: those of the settings file.
    """

    tables: tuple[CollectionSettings, ...] = ()
    folder: Path = Path()
    inline: bool = False
    reactions: tuple[ReactionSettings, ...] = ()
    topics: tuple[TopicSettings, ...] = ()

    @classmethod
    def read(cls, given: Any) -> "Collections":
        """Read a list of tables, as JSON or from cdk.json, or `@FILE`: JSON, or the tables of a penstock.toml.

        Raises ValueError.
        """
        file = Path(given[1:]).resolve() if isinstance(given, str) and given.startswith("@") else None
        try:
            settings = _settings(given, file)
            folder = file.parent if file else Path.cwd()
            return cls(settings.collections, folder, reactions=settings.reactions, topics=settings.topics)
        except SettingsError as error:
            raise ValueError("; ".join(error.problems)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file cannot be read: {error}") from error

    def add_to(self, bundle: str, reactions: Sequence[Mapping[str, Any]] = ()) -> str:
        """Return a copy of a bundle with the tables and the files that they name; inline ones need none.

        The tables of `reactions` are added, for those who know them.
        """
        if self.inline and not reactions:
            return bundle
        copy = Path(tempfile.mkdtemp(prefix="penstock-bundle-"), "code")
        shutil.copytree(bundle, copy)
        self._write(() if self.inline else self.tables, copy, modules=copy, reactions=reactions)
        return str(copy)

    def write_into(self, folder: Path) -> None:
        """Write the tables, those of the reactions too, and the files that they name into a new folder."""
        folder.mkdir()
        self._write(self.tables, folder, modules=folder, reactions=self.reaction_tables)

    @property
    def reaction_tables(self) -> list[dict[str, Any]]:
        """What was given of the reactions, without the secrets of webhooks."""
        return [each.model_dump(exclude_unset=True, exclude={"secret"}) for each in self.reactions]

    def topics_of(self, namespace: str) -> list[str]:
        """Return the topics that bring the changes of a collection."""
        return [found.topic for each in self.topics if (found := each.standing_for(namespace))]

    def layer(self, table: CollectionSettings) -> str:
        """Return a folder with one of the tables and its files, in the form of a layer of a function."""
        folder = Path(tempfile.mkdtemp(prefix="penstock-layer-"))
        (folder / "python").mkdir()
        self._write([table], folder, modules=folder / "python")
        return str(folder)

    def _write(
        self,
        tables: Sequence[CollectionSettings],
        folder: Path,
        *,
        modules: Path,
        reactions: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        for each in tables:
            self._add_files(each, folder, modules)
        for reaction in reactions:
            if name := reaction.get("function"):
                copy_module(str(name), self.folder, modules)
        topics = [each for each in self.topics if any(each.standing_for(table.namespace) for table in tables)]
        text = "\n".join([*map(_table, tables), *map(toml_table, reactions), *map(_topic, topics)])
        (folder / FILE).write_text(text, encoding="utf-8")
        make_stable(folder)

    def _add_files(self, table: CollectionSettings, folder: Path, modules: Path) -> None:
        if table.mapping_file:
            (folder / _MAPPINGS).mkdir(exist_ok=True)
            shutil.copyfile(self.folder / table.mapping_file, folder / _mapping_of(table))
        if table.function:
            copy_module(table.function, self.folder, modules)


def copy_module(function: str, folder: Path, modules: Path) -> None:
    """Copy the file or the folder of a function's module to where modules are found. Raises ValueError."""
    source = _module(function, folder)
    if source.is_dir():
        shutil.copytree(source, modules / source.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, modules / source.name)


def require_mapped(collections: Collections) -> Collections:
    """Refuse what only a worker can do. Raises ValueError."""
    try:
        require_mappable(Settings(collections=collections.tables))
    except SettingsError as error:
        raise ValueError("; ".join(error.problems)) from error
    return collections


def require_worked(collections: Collections) -> Collections:
    """Refuse what a worker cannot do at a DocumentDB cluster, or the API next to it. Raises ValueError."""
    for each in collections.tables:
        if each.follows:
            raise ValueError(
                f'[[collections]] {each.namespace}: on_rename = "follow" has no effect, for DocumentDB does not report'
                " renames; leave it out"
            )
    if collections.tables and collections.tables[0].is_pattern:
        raise ValueError(
            f"[[collections]] {collections.tables[0].namespace}: the API serves the first table, which must name one"
            " collection; put another table first"
        )
    return collections


def index_names(tables: Sequence[CollectionSettings]) -> list[str]:
    """Return the names of the indexes; where a pattern has the name of a collection, `*` stands for any."""
    return [each.alias.replace(COLLECTION_PLACE, "*") for each in tables]


def index_patterns(indexes: Sequence[str]) -> list[str]:
    """Return by which names roles get their rights: each index, or what all of many have in common.

    A role has room for the rights of a few indexes only. Raises ValueError where many have nothing in common.
    """
    if len(indexes) <= _ENUMERATED and sum(_OF_AN_INDEX + _OF_A_LETTER * len(each) for each in indexes) <= _ROOM:
        return list(indexes)
    common = indexes[0]
    while not all(each.startswith(common) for each in indexes):
        common = common[:-1]
    if len(common) < _PREFIX:
        raise ValueError(
            f"the rights on {len(indexes)} indexes do not fit into a role: give their `index` names a common beginning"
            f" of {_PREFIX} characters or more, such as shop-"
        )
    return [f"{common}*"]


def _settings(given: Any, file: Path | None) -> Settings:
    if file is not None and file.suffix == ".toml":
        settings = read_settings(file=file, environ=_secrets_of_webhooks(file), need_collections=True)
    else:
        text = file.read_text(encoding="utf-8") if file else given if isinstance(given, str) else json.dumps(given)
        if not text.lstrip().startswith("["):
            raise ValueError("it must be a list of tables in JSON, or @FILE with one, or @penstock.toml")
        found = _next_to(file, text) if file else text
        settings = read_settings(environ={"PENSTOCK_COLLECTIONS": found}, need_collections=True)
    folder = file.parent if file else Path.cwd()
    for each in settings.collections:
        db, _, coll = each.namespace.partition(".")
        checks.database(db)
        if not each.is_pattern:
            checks.collection(coll)
        if each.function:
            _module(each.function, folder)
    for reaction in settings.reactions:
        if reaction.function:
            _module(reaction.function, folder)
    index_patterns(index_names(settings.collections))
    return settings


def _secrets_of_webhooks(file: Path) -> dict[str, str]:
    """Return what stands for the secret of each webhook of a settings file, which is in Secrets Manager."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8")).get("reactions", [])
        webhooks = [each for each in tables if each.get("target") == "webhook"]
        held = [str(each["name"]) for each in webhooks if "secret" in each or "secret_file" in each]
        names = [str(each["name"]) for each in webhooks]
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}  # the reader of settings says what is wrong with it
    if held:
        raise ValueError(
            f"reaction {held[0]}: no file that is deployed may hold the secret of a webhook; remove it from the table,"
            " it is taken from Secrets Manager"
        )
    return {secret_variable(each): IN_SECRETS_MANAGER for each in names}


def _next_to(file: Path, text: str) -> str:
    """Return the tables with their mapping files where a settings file would have them: next to the file."""
    try:
        tables = json.loads(text)
    except ValueError:
        return text  # the reader of settings says what is wrong with it
    for each in tables:
        if isinstance(each, dict) and isinstance(each.get("mapping_file"), str):
            each["mapping_file"] = str(file.parent / each["mapping_file"])
    return json.dumps(tables)


def _module(function: str, folder: Path) -> Path:
    """Return the file or the folder of a function's module. Raises ValueError."""
    name = function.partition(":")[0].partition(".")[0]
    found = next((each for each in (folder / f"{name}.py", folder / name) if each.exists()), None)
    if found is None:
        raise ValueError(
            f"the module of the function {function} is not in {folder}: put {name}.py there, to travel along"
        )
    return found


def _mapping_of(table: CollectionSettings) -> str:
    return f"{_MAPPINGS}/{table.alias}.json"


def _table(table: CollectionSettings) -> str:
    """Return the table as TOML: what was given of it, and where the bundle has its mapping file."""
    values = table.model_dump(exclude_unset=True)
    if table.mapping_file:
        values["mapping_file"] = _mapping_of(table)
    return "\n".join(["[[collections]]", *_lines(values.items()), ""])


def _topic(table: TopicSettings) -> str:
    return "\n".join(["[[topics]]", *_lines(table.model_dump(exclude_unset=True).items()), ""])


def _lines(values: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{name} = {toml_value(value)}" for name, value in values if value is not None]
