"""Jars are pinned: a wrong one is refused, a missing one is fetched or explained."""

import subprocess
import sys

import pytest

from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.jars import JAR_SETS, jar_paths, pinned

JAR = pinned("compiler")[0]


@pytest.fixture(scope="module")
def compiler_jar():
    return jar_paths([JAR])[0].read_bytes()


@pytest.fixture
def empty_cache(compiler_jar, tmp_path, monkeypatch):
    """An empty cache, an empty local repository, and a network that refuses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    return tmp_path


def put_in_repository(folder, content):
    path = folder / "repository" / JAR.group.replace(".", "/") / JAR.artifact / JAR.version / JAR.file_name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def test_every_set_is_pinned_by_sums_of_64_digits():
    sums = [jar.sha256 for name in JAR_SETS for jar in pinned(name)]
    assert len(sums) > 100
    assert all(len(each) == 64 and int(each, 16) for each in sums)


def test_a_cached_jar_with_a_wrong_sum_is_refused_and_named(empty_cache):
    cached = empty_cache / "cache" / "penstock" / "jars" / JAR.file_name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"something else")
    with pytest.raises(LocalServerError, match=r"org.eclipse.jdt:ecj:3\.40\.0 is not the pinned one.*Delete the file"):
        jar_paths([JAR])


def test_a_fetched_jar_with_a_wrong_sum_never_reaches_the_cache(empty_cache):
    put_in_repository(empty_cache, b"something else")
    with pytest.raises(LocalServerError, match=r"org.eclipse.jdt:ecj:3\.40\.0 is not the pinned one"):
        jar_paths([JAR])
    assert list((empty_cache / "cache").rglob("*.jar")) == []


def test_a_missing_jar_is_taken_from_the_local_repository(empty_cache, compiler_jar):
    put_in_repository(empty_cache, compiler_jar)
    assert jar_paths([JAR])[0].read_bytes() == compiler_jar


def test_offline_the_jar_the_cause_and_the_next_step_are_named(empty_cache):
    with pytest.raises(LocalServerError, match=r"(?s)ecj:3\.40\.0 cannot be downloaded.*start again"):
        jar_paths([JAR])
    assert list((empty_cache / "cache").rglob("*.jar")) == []


def test_without_the_extra_the_install_command_is_named(empty_cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "jgo", None)
    with pytest.raises(LocalServerError, match=r"pip install 'penstock\[local\]'"):
        jar_paths([JAR])


def test_with_every_jar_cached_nothing_is_fetched_or_imported_for_it(compiler_jar):
    code = (
        "import sys; from penstock_tools.servers.jars import jar_paths, pinned; jar_paths(pinned('compiler'));"
        "sys.exit('jgo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
