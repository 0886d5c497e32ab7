"""What a single setting must be, beyond its type: each check answers the value or raises ValueError with the reason."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote_plus, urlsplit

INDEX_NAME_BYTES = 200
"""OpenSearch takes 255 bytes; the indexes of a collection carry a suffix of ours behind its name."""

PATTERN_SIGN = "*"
"""Stands for any part of the name of a collection."""

COLLECTION_PLACE = "{collection}"
"""Stands for the name of the collection, in the alias of a pattern."""

_NOT_IN_INDEX_NAMES = '\\/*?"<>| ,#:'
_NOT_IN_DATABASE_NAMES = '/\\. "$\0'
_SYSTEM_DATABASES = ("admin", "config", "local")


def check_database_uri(uri: str) -> str:
    """The driver reads the rest of it; what is wrong there is reported when it connects."""
    if not re.match(r"mongodb(\+srv)?://[^/?]+", uri):
        raise ValueError("must look like mongodb://host:port/?replicaSet=name")
    return uri


def user_of(uri: str) -> str | None:
    """The user that a connection string names."""
    authority = re.split("[/?]", uri.partition("://")[2], maxsplit=1)[0]
    return unquote_plus(authority.rpartition("@")[0].partition(":")[0]) or None


def check_address(url: str) -> str:
    """The address of the cluster alone: scheme, host, port."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must look like https://host:port")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password; they have settings of their own (auth, username, password)")
    if parts.query or parts.fragment:
        raise ValueError("must end after the host and port")
    if _port_of(url) == 0:
        raise ValueError("has a port that is not between 1 and 65535")
    return url.rstrip("/")


def check_queue(url: str | None) -> str | None:
    """The URL of a queue, as SQS gives it."""
    if url is not None and not re.fullmatch(r"https?://[^/\s]+/\d+/[\w.-]+", url):
        raise ValueError("must look like https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
    return url


def check_listen(listen: str | None) -> str | None:
    """`host:port`, and `:port` for all interfaces; port 0 lets the system choose."""
    if listen is not None:
        _, colon, port = listen.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise ValueError("must look like 127.0.0.1:9400, or :9400 for all interfaces")
    return listen


def check_namespace(namespace: str) -> str:
    """`database.collection`, of a database that has change streams; `*` in the collection makes it a pattern."""
    database, dot, collection = namespace.partition(".")
    if not (database and dot and collection):
        raise ValueError("must look like database.collection")
    if PATTERN_SIGN in database:
        raise ValueError("names several databases: a pattern stands for collections of one, as shop.* does")
    if database in _SYSTEM_DATABASES or collection.startswith("system."):
        raise ValueError("is a system collection: it has no change stream")
    if any(sign in _NOT_IN_DATABASE_NAMES for sign in database) or "$" in collection or "\0" in collection:
        raise ValueError("holds a sign that names of databases or collections cannot have")
    return namespace


def check_heartbeat(namespace: str | None) -> str | None:
    """`database.collection`, where one is given."""
    return namespace if namespace is None else check_namespace(namespace)


def check_heartbeat_is_seen(heartbeat: str, cursor_per: str, collections: Iterable[str]) -> None:
    """A cursor on the heartbeat's database must see it, and nobody's documents may be in its collection."""
    declared = sorted(collections)
    databases = sorted({each.partition(".")[0] for each in declared})
    if cursor_per == "collection":
        raise ValueError('[source] heartbeat is of no use with cursor_per = "collection": no cursor sees it')
    if heartbeat in declared:
        raise ValueError(f"[source] heartbeat {heartbeat} is one of the declared collections; name one of its own")
    if heartbeat.partition(".")[0] not in databases:
        raise ValueError(f"[source] heartbeat {heartbeat} is in no database that is followed: {', '.join(databases)}")


def check_index_name(name: str) -> str:
    """The rules of OpenSearch, and the names penstock keeps for itself."""
    if name != name.lower():
        raise ValueError(f"must be lower case: {name.lower()}")
    if wrong := sorted({sign for sign in name if sign in _NOT_IN_INDEX_NAMES or not sign.isprintable()}):
        raise ValueError(f"must not hold {' '.join(map(repr, wrong))}")
    if not name or name in (".", "..") or name[0] in "-_+.":
        raise ValueError("must begin with a letter or a digit")
    if name.startswith("penstock-"):
        raise ValueError("must not begin with penstock-: those indexes hold penstock's own state")
    if len(name.encode()) > INDEX_NAME_BYTES:
        raise ValueError(f"must not be longer than {INDEX_NAME_BYTES} bytes")
    return name


def check_index_of(namespace: str, index: str | None) -> str | None:
    """The alias of a collection, given or by default; that of a pattern has a place for each collection's name."""
    if PATTERN_SIGN in namespace and index is not None and COLLECTION_PLACE not in index:
        raise ValueError(f"must hold {COLLECTION_PLACE}, which stands for the name of each collection that is found")
    if index is not None:
        check_index_name(index.replace(COLLECTION_PLACE, "x") if PATTERN_SIGN in namespace else index)
    elif default := namespace.lower().replace(PATTERN_SIGN, "x"):
        try:
            check_index_name(default)
        except ValueError as error:
            raise ValueError(f"must be given: {default} cannot be the name of an index, it {error}") from None
    return index


def check_field_path(path: str) -> str:
    """A dotted path without empty parts."""
    if not all(path.split(".")):
        raise ValueError(f"{path!r} must be a dotted path such as address.city")
    return path


def check_conflicts(policies: Mapping[str, str]) -> None:
    """Policies that make a field's mapping are said of one field, and not of another one within it."""
    shaping = {path for path, policy in policies.items() if policy in ("text", "flat_object")}
    if "*" in shaping:
        raise ValueError(f"can say of `*` only dead-letter or leave-out; name the fields that shall be {policies['*']}")
    for path in sorted(policies):
        pieces = path.split(".")
        if pieces[0] == "_penstock":
            raise ValueError(f"names `{path}`, which is penstock's own")
        above = {".".join(pieces[:count]) for count in range(1, len(pieces))}
        if within := above & shaping:
            raise ValueError(f"names `{path}`, which lies within `{within.pop()}`; keep one of the two")


def check_function(name: str | None) -> str | None:
    """`module:function`; whether it can be imported shows when it is."""
    if name is not None and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        raise ValueError("must look like module:function")
    return name


def existing_file(path: Path) -> Path:
    """A file that is there now; its contents are read by whoever uses it."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def collisions(collections: Iterable[tuple[str, str]]) -> list[str]:
    """What is wrong between collections, given as (namespace, index): the same one twice, or two for one index."""
    problems = []
    seen: set[str] = set()
    served: dict[str, str] = {}
    for namespace, index in collections:
        if namespace in seen:
            problems.append(f"{namespace} is declared twice; keep one [[collections]] table of it")
        elif index in served:
            problems.append(
                f"{served[index]} and {namespace} would share the index {index}, where equal ids overwrite each other; "
                "give one of them another `index`"
            )
        seen.add(namespace)
        served.setdefault(index, namespace)
    return problems


def unfollowable(collections: Iterable[tuple[str, bool]]) -> list[str]:
    """What is wrong between collections, given as (namespace, whether its renames are followed), and patterns."""
    those = list(collections)
    patterns = {name.partition(".")[0]: name for name, _ in those if PATTERN_SIGN in name}
    return [
        f'{name} has on_rename = "follow", and a new name of it could be found by {patterns[db]} too; name the'
        f" collections of {db} exactly, or leave on_rename out"
        for name, follows in those
        if follows and PATTERN_SIGN not in name and (db := name.partition(".")[0]) in patterns
    ]


def _port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return 0
