"""The commands as people run them: what they can tell without a server."""

import re
import subprocess
import sys

import pytest


def test_help_and_version_do_not_load_the_drivers():
    script = (
        "import sys, penstock.cli; print([m for m in ('pymongo', 'urllib3', 'bson', 'botocore') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_the_version_is_told(run):
    done = run("--version")
    assert re.fullmatch(r"penstock \d+\.\d+\.\d+\n", done.stdout)


def test_all_problems_of_the_settings_come_at_once_without_secrets(run, tmp_path):
    (tmp_path / "penstock.toml").write_text(
        '[source]\nuri = "http://me:hunter2@h"\n[sink]\nauth = "basic"\nretries = 3\n'
        '[[collections]]\nnamespace = "shop"\n'
    )
    done = run("run", "--sink-timeout-s", "soon", PENSTOCK_SINK_GZIP="maybe")
    assert done.returncode == 2
    assert done.stdout == ""
    assert sorted(done.stderr.splitlines()) == [
        "error: --sink-timeout-s must be a number, not 'soon'",
        "error: PENSTOCK_SINK_GZIP must be true or false, not 'maybe'",
        "error: [[collections]] shop: namespace must look like database.collection",
        'error: [sink] password_file or password is needed for auth = "basic"',
        "error: [sink] retries is not a setting",
        'error: [sink] username is needed for auth = "basic"',
        "error: [source] uri must look like mongodb://host:port/?replicaSet=name",
    ]


@pytest.mark.parametrize("command", ["run", "load", "check", "status"])
def test_a_command_without_collections_says_how_to_name_one(run, command):
    done = run(command)
    assert done.returncode == 2
    assert "no collection is declared" in done.stderr


def test_an_unknown_command_is_a_usage_error(run):
    assert run("strat").returncode == 2


def test_load_refuses_a_collection_that_is_not_declared(run):
    done = run("load", "shop.order", "--collection", "shop.orders")
    assert done.returncode == 2
    assert done.stderr == "error: shop.order is not a declared collection; did you mean shop.orders?\n"
