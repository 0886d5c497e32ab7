"""What a setting must be, beyond its type: each check returns the value, or raises ValueError with the reason."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from errno import ENAMETOOLONG
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlsplit

INDEX_NAME_BYTES = 200
"""OpenSearch allows 255 bytes; penstock appends a suffix to the names of its indexes."""

PATTERN_SIGN = "*"
"""Matches any part of the name of a collection."""

COLLECTION_PLACE = "{collection}"
"""Replaced by the name of the collection, in the alias of a pattern."""

RESERVED_FIELD = "_penstock"
"""The object that penstock adds to a document if its values do not say everything."""

EVERY_INTERFACE = ("", "0.0.0.0", "::")  # noqa: S104 (compared, not bound)

_LONGEST_SHOWN = 200
"""Characters of what is given as the name of a file; anything else may be a file's secret content."""

_NOT_IN_INDEX_NAMES = '\\/*?"<>| ,#:'
_NOT_IN_DATABASE_NAMES = '/\\. "$\0'
_SYSTEM_DATABASES = ("admin", "config", "local")


def matches(pattern: str, namespace: str) -> bool:
    """Whether a pattern matches a namespace."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split(PATTERN_SIGN))), namespace, re.DOTALL) is not None


def index_by(pattern: str, coll: str) -> str:
    """Return the alias of a collection that a pattern matches, by the alias of the pattern."""
    return pattern.replace(COLLECTION_PLACE, coll.lower())


def check_database_uri(uri: str) -> str:
    """Check the scheme, the host, and that nothing but the login stands before an `@`.

    The driver reports what is wrong with the rest when it connects.
    """
    rest = uri.partition("://")[2]
    login, at, _ = re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")
    if rest.count("@") > len(at) or login.count(":") > 1:
        raise ValueError(
            "has a / ? : or @ in the password, or an @ in an option: percent-encode the password or give it as"
            " password_file"
        )
    if not re.match(r"mongodb(\+srv)?://([^/?@]*@)?[^/?@]+", uri):
        raise ValueError("must look like mongodb://host:port/?replicaSet=name")
    return uri


def user_of(uri: str) -> str | None:
    """Return the user that a connection string names."""
    authority = re.split("[/?]", uri.partition("://")[2], maxsplit=1)[0]
    return unquote_plus(authority.rpartition("@")[0].partition(":")[0]) or None


def check_address(url: str) -> str:
    """Check the address of the cluster: scheme, host and port, nothing else."""
    if "@" in url:
        raise ValueError("must not contain a user or password; set auth, username and password instead")
    try:
        parts = urlsplit(url)
    except ValueError:  # its message quotes the address
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must look like https://host:port")
    if parts.query or parts.fragment:
        raise ValueError("must end after the host and port")
    if _port_of(url) == 0:
        raise ValueError("has a port that is not between 1 and 65535")
    return url.rstrip("/")


def check_otlp_endpoint(url: str | None) -> str | None:
    """Check the address of a collector; a path may be part of it."""
    if url is None:
        return None
    if "@" in url:
        raise ValueError("must not contain a user or password; write a header into otlp_headers_file instead")
    url = check_address(url)
    if url.endswith(("/v1/metrics", "/v1/traces")):
        raise ValueError("must end before /v1/metrics or /v1/traces, which penstock adds")
    return url


def is_api_key(text: str) -> bool:
    """Whether a text can be an API key."""
    return bool(re.fullmatch(r"[!-~]+", text))


def check_one_password(file: Path | None, given: Mapping[str, Any]) -> None:
    """Check that a file with the password stands alone; `given` are the settings before it."""
    if file and given.get("password"):
        raise ValueError("must not be given together with password")


def check_has_certificate(key: Path | None, given: Mapping[str, Any]) -> None:
    """Check that there is a client certificate that the key can belong to; `given` are the settings before it."""
    if key and "client_certificate" in given and not given["client_certificate"]:
        raise ValueError("has no effect without client_certificate")


def check_deployment(name: str | None) -> str | None:
    """Check the name of a deployment, which becomes a part of the names of its pipelines."""
    if name is not None and (not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or name == "generation"):
        raise ValueError('must be 1 to 64 letters, digits, "-" and "_", and not "generation"')
    return name


def check_queue(url: str | None) -> str | None:
    """Check the URL of an SQS queue."""
    if url is not None and not re.fullmatch(r"https?://[^/\s@]+/\d+/[\w.-]+", url):
        raise ValueError("must look like https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
    return url


def check_listen(listen: str | None) -> str | None:
    """Check `host:port`, or `:port` for all interfaces; with port 0 the system chooses. IPv6 is in brackets."""
    if listen is not None:
        host, colon, port = listen.rpartition(":")
        is_one_host = ":" not in host or (host.startswith("[") and host.endswith("]"))
        if not colon or not re.fullmatch("[0-9]+", port) or int(port) > 65535 or not is_one_host:
            raise ValueError("must look like 127.0.0.1:9400 or [::1]:9400, or :9400 for all interfaces")
    return listen


def host_of(listen: str) -> str:
    """Return the host of `host:port`, without the brackets of IPv6; empty for all interfaces."""
    return listen.rpartition(":")[0].strip("[]")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def hosts_of(text: str | None) -> frozenset[str]:
    """Return the names of hosts in a text, separated by commas, in lower case."""
    return frozenset(each.strip().lower() for each in (text or "").split(",") if each.strip())


def check_hosts(text: str | None) -> str | None:
    """Check names or addresses of hosts, which have no port."""
    for host in hosts_of(text):
        if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", host):
            raise ValueError(f"names {host!r}, which is not the name of a host; write it without scheme and port")
    return text


def check_console(listen: str | None, *, tokens: bool, encrypted: bool, named: bool) -> None:
    """Check that a console which others can reach asks for a token, is encrypted, and knows by which names."""
    host = host_of(listen) if listen else "localhost"
    if is_loopback(host):
        return
    if not tokens:
        raise ValueError(
            f"[console] listen {listen} is not only for this machine, which needs a token_file or a viewer_token_file"
        )
    if not encrypted:
        raise ValueError(
            f"[console] listen {listen} is not only for this machine, which needs HTTPS: set tls_certificate, or"
            " behind_proxy = true if a proxy offers it"
        )
    if not named and host in EVERY_INTERFACE:
        raise ValueError(f"[console] listen {listen} needs allowed_hosts: the names by which people reach the console")


def check_namespace(namespace: str) -> str:
    """Check `database.collection`, in a database with change streams. A `*` in the collection makes it a pattern."""
    database, dot, collection = namespace.partition(".")
    if not (database and dot and collection):
        raise ValueError("must look like database.collection")
    if PATTERN_SIGN in database:
        raise ValueError("names several databases; a pattern can only match collections of one database, as in shop.*")
    if database in _SYSTEM_DATABASES or collection.startswith("system."):
        raise ValueError("is a system collection, which has no change stream")
    if any(sign in _NOT_IN_DATABASE_NAMES for sign in database) or "$" in collection or "\0" in collection:
        raise ValueError("contains a character that names of databases or collections cannot contain")
    return namespace


def check_heartbeat(namespace: str | None) -> str | None:
    """Check `database.collection`, if one is given."""
    return namespace if namespace is None else check_namespace(namespace)


def check_heartbeat_is_seen(heartbeat: str, cursor_per: str, collections: Iterable[str]) -> None:
    """Check that a cursor sees the heartbeat's database, and that its collection is not one of the user's."""
    declared = sorted(collections)
    databases = sorted({each.partition(".")[0] for each in declared})
    if cursor_per == "collection":
        raise ValueError('[source] heartbeat has no effect with cursor_per = "collection": no cursor would see it')
    if heartbeat in declared:
        raise ValueError(f"[source] heartbeat {heartbeat} is a declared collection; use a separate collection for it")
    if heartbeat.partition(".")[0] not in databases:
        raise ValueError(
            f"[source] heartbeat {heartbeat} is not in a database that penstock follows: {', '.join(databases)}"
        )


def check_index_name(name: str) -> str:
    """Check the rules of OpenSearch, and that the name is not one that penstock reserves."""
    if name != name.lower():
        raise ValueError(f"must be lower case: {name.lower()}")
    if wrong := sorted({sign for sign in name if sign in _NOT_IN_INDEX_NAMES or not sign.isprintable()}):
        raise ValueError(f"must not contain {' '.join(map(repr, wrong))}")
    if not name or name in (".", "..") or name[0] in "-_+.":
        raise ValueError("must begin with a letter or a digit")
    if name.startswith("penstock-"):
        raise ValueError("must not begin with penstock-, the prefix of the indexes with penstock's own state")
    if len(name.encode()) > INDEX_NAME_BYTES:
        raise ValueError(f"must not be longer than {INDEX_NAME_BYTES} bytes")
    return name


def check_index_of(namespace: str, index: str | None) -> str | None:
    """Check the alias of a collection, given or default. The alias of a pattern must have a place for the name."""
    if PATTERN_SIGN in namespace and index is not None and COLLECTION_PLACE not in index:
        raise ValueError(f"must contain {COLLECTION_PLACE}, which is replaced by the name of each matching collection")
    if index is not None:
        check_index_name(index.replace(COLLECTION_PLACE, "x") if PATTERN_SIGN in namespace else index)
    elif default := namespace.lower().replace(PATTERN_SIGN, "x"):
        try:
            check_index_name(default)
        except ValueError as error:
            raise ValueError(f"must be given, because {default} cannot be the name of an index: it {error}") from None
    return index


def check_field_path(path: str) -> str:
    """Check a dotted path: none of its parts may be empty."""
    if not all(path.split(".")):
        raise ValueError(f"{path!r} must be a dotted path such as address.city")
    return path


def check_conflicts(policies: Mapping[str, str]) -> None:
    """Check that policies which decide a field's mapping name single fields, and no field within another."""
    shaping = {path for path, policy in policies.items() if policy in ("text", "flat_object")}
    if "*" in shaping:
        raise ValueError(
            f"can only use dead-letter or leave-out for `*`; name the fields that should become {policies['*']}"
        )
    for path in sorted(policies):
        pieces = path.split(".")
        if pieces[0] == RESERVED_FIELD:
            raise ValueError(f"names `{path}`, a field that penstock reserves")
        above = {".".join(pieces[:count]) for count in range(1, len(pieces))}
        if within := above & shaping:
            raise ValueError(f"names `{path}`, which is within `{within.pop()}`; keep one of the two")


def check_function(name: str | None) -> str | None:
    """Check `module:function`. Whether it can be imported is only known when it is."""
    if name is not None and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        raise ValueError("must look like module:function")
    return name


def existing_file(path: Path) -> Path:
    """Check that the file exists now; the code that uses it reads it later."""
    try:
        is_there = path.is_file()
    except OSError as error:  # of a folder that this user may not enter, for one
        if error.errno == ENAMETOOLONG:
            raise ValueError("must be the name of a file that exists, not its content") from None
        raise ValueError(f"names a file that cannot be looked at: {error.strerror}") from None
    if not is_there:
        name = str(path)
        if len(name) > _LONGEST_SHOWN or not name.isprintable():
            raise ValueError("must be the name of a file that exists, not its content")
        raise ValueError(f"names a file that does not exist: {name}")
    return path


def collisions(collections: Iterable[tuple[str, str]]) -> list[str]:
    """Return the problems between collections, given as (namespace, index): duplicates, and two with one index."""
    problems = []
    seen: set[str] = set()
    served: dict[str, str] = {}
    for namespace, index in collections:
        if namespace in seen:
            problems.append(f"{namespace} is declared twice; keep one of its [[collections]] tables")
        elif index in served:
            problems.append(
                f"{served[index]} and {namespace} would share the index {index}, where documents with equal ids"
                " overwrite each other; give one of them another `index`"
            )
        seen.add(namespace)
        served.setdefault(index, namespace)
    return problems


def unfollowable(collections: Iterable[tuple[str, bool]]) -> list[str]:
    """Return the problems between patterns and collections whose renames are followed.

    Collections are given as (namespace, whether its renames are followed).
    """
    those = list(collections)
    patterns = {name.partition(".")[0]: name for name, _ in those if PATTERN_SIGN in name}
    return [
        f'{name} has on_rename = "follow", but {patterns[db]} could match its new name too; name the collections of'
        f" {db} exactly, or leave on_rename out"
        for name, follows in those
        if follows and PATTERN_SIGN not in name and (db := name.partition(".")[0]) in patterns
    ]


OF_TARGETS = {
    "url": "webhook",
    "secret": "webhook",
    "secret_file": "webhook",
    "function": "function",
    "bus": "eventbridge",
    "region": "eventbridge",
}
"""The settings of a reaction that only one target has."""

_NEEDED = {"webhook": ("url",), "function": ("function",), "eventbridge": ("bus",)}


def check_reaction_name(name: str) -> str:
    """Check the name of a reaction, which becomes a part of the ids of its state and of a variable's name."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
        raise ValueError('must be 1 to 64 lower case letters, digits, "-" and "_", and begin with a letter')
    return name


def check_reaction_collection(namespace: str) -> str:
    """Check `database.collection`; a reaction has no patterns."""
    check_namespace(namespace)
    if PATTERN_SIGN in namespace:
        raise ValueError(f"names the pattern {namespace}; a reaction needs each collection by its name")
    return namespace


def check_reaction_collections(collections: tuple[str, ...]) -> tuple[str, ...]:
    """Check that there are some, each once, in one database: a reaction has one change stream."""
    databases = sorted({each.partition(".")[0] for each in collections})
    if not collections:
        raise ValueError("must name at least one collection")
    if len(databases) > 1:
        raise ValueError(f"are of several databases ({', '.join(databases)}); give each database a reaction of its own")
    if twice := sorted({each for each in collections if collections.count(each) > 1}):
        raise ValueError(f"names {', '.join(twice)} twice")
    return collections


def check_target(target: str, given: Collection[str]) -> None:
    """Check that a reaction has what its target needs, and nothing that is for another one."""
    if missing := [name for name in _NEEDED[target] if name not in given]:
        raise ValueError(f'has target = "{target}", which needs {", ".join(missing)}')
    if others := [name for name in OF_TARGETS if name in given and OF_TARGETS[name] != target]:
        raise ValueError(
            f'has target = "{target}", which takes no {", ".join(others)}; remove it, or correct the target'
        )
    if target == "webhook" and len({"secret", "secret_file"} & set(given)) != 1:
        raise ValueError(
            "is a webhook and needs one secret to sign its requests with: set secret_file, or the variable"
            " PENSTOCK_REACTION_<NAME>_SECRET, or secret"
        )


def check_webhook(url: str | None) -> str | None:
    """Check the address of a webhook. Its path may be secret, so no message quotes it."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError("must look like https://host:port/path")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or password; the receiver checks the signature instead")
    if _port_of(url) == 0:
        raise ValueError("has a port that is not between 1 and 65535")
    return url


def check_reactions(reactions: Sequence[tuple[str, tuple[str, ...]]], cursor_per: str) -> None:
    """Check that names differ, also as parts of variables, and that one cursor sees what a reaction needs."""
    problems = []
    names: dict[str, str] = {}
    for name, collections in reactions:
        same = names.setdefault(secret_variable(name), name)
        if same == name and sum(name == each for each, _ in reactions) > 1:
            problem = f"[[reactions]] {name} is declared twice; give each reaction a name of its own"
            problems += [problem] if problem not in problems else []
        elif same != name:
            problems.append(f"[[reactions]] {same} and {name} would share {secret_variable(name)}; rename one of them")
        if cursor_per == "collection" and len(collections) > 1:
            problems.append(
                f'[[reactions]] {name}: with [source] cursor_per = "collection" a reaction can have one collection'
                " only; give each one a reaction of its own"
            )
    if problems:
        raise ValueError("\n".join(problems))


def check_have_index(declared: Collection[str], reactions: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """Check that collections whose index is waited for are declared by their names."""
    for name, collections in reactions:
        if missing := [each for each in collections if each not in declared]:
            raise ValueError(
                f"[[reactions]] {name}: after_index = true needs a [[collections]] table for {', '.join(missing)}"
            )


def secret_variable(name: str) -> str:
    """Return the environment variable with the secret of a reaction."""
    return f"PENSTOCK_REACTION_{name.upper().replace('-', '_')}_SECRET"


def _port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return 0


def check_bootstrap_servers(servers: str) -> str:
    """Check host:port, several separated by commas."""
    for each in servers.split(","):
        host, colon, port = each.strip().rpartition(":")
        if not (host and colon and port.isdecimal() and 0 < int(port) < 65536) or "/" in host or "@" in host:
            raise ValueError("must look like host:port, or host:port,host:port")
    return servers.replace(" ", "")


_KAFKA_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_group(name: str) -> str:
    """Check the start of the names of consumer groups."""
    if not _KAFKA_NAME.fullmatch(name):
        raise ValueError("must consist of ASCII letters, digits, dots, underscores and hyphens")
    return name


def check_topic(topic: str) -> str:
    """Check the name of a topic, which may end with a star."""
    if topic == PATTERN_SIGN or not _KAFKA_NAME.fullmatch(topic.removesuffix(PATTERN_SIGN)):
        raise ValueError(
            "must consist of ASCII letters, digits, dots, underscores and hyphens, at most 249 of them; a * may stand"
            " at the end"
        )
    return topic
