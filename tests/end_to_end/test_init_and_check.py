"""`penstock init` and `penstock check` on real servers."""

import json

import urllib3


def test_init_writes_what_the_server_has_and_check_is_content_with_it(run, tmp_path, source_uri, sink_url, database):
    database.items.insert_one({"a": 1})
    database["My Items"].insert_one({"a": 1})
    database.command("create", "seen", viewOn="items", pipeline=[])
    done = run("init", "--source-uri", source_uri, "--sink-url", sink_url)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "penstock.toml").read_text()
    assert f'namespace = "{database.name}.items"\n' in written
    assert f'namespace = "{database.name}.My Items"\nindex = "{database.name}.my-items"\n' in written
    assert f"{database.name}.seen" not in written
    assert (tmp_path / "penstock.toml").stat().st_mode & 0o077 == 0
    done = run("check", "--collection", f"{database.name}.items")
    assert done.returncode == 0, done.stdout
    again = run("init")
    assert again.returncode == 2
    assert again.stderr == "error: penstock.toml already exists; give --force to replace it, or name another file\n"
    assert (tmp_path / "penstock.toml").read_text() == written
    assert run("init", "--force").returncode == 0


def test_check_names_what_is_wrong_and_what_to_do(run, settings, tmp_path, database, index_prefix, sink_url):
    http = urllib3.PoolManager()
    http.request("PUT", f"{sink_url}/{index_prefix}taken", json={"settings": {"number_of_replicas": 0}})
    (tmp_path / "mapping.json").write_text('{"properties": {}}')
    (tmp_path / "broken.py").write_text("def order(document):\n    return document\nraise RuntimeError('no')\n")
    with (tmp_path / "penstock.toml").open("a") as file:
        file.write(
            f'[[collections]]\nnamespace = "{database.name}.itms"\nindex = "{index_prefix}taken"\nreplicas = 1\n'
            f'mapping_file = "mapping.json"\nfunction = "broken:order"\n'
        )
    done = run("check", "--json")
    found = {(each["area"], each["subject"]): each for each in json.loads(done.stdout)}
    assert done.returncode == 2
    assert found["source", f"{database.name}.itms"]["todo"] == f"did you mean {database.name}.items?"
    assert found["source", f"{database.name}.items"]["verdict"] == "ok"
    assert found["sink", f"{index_prefix}items"]["verdict"] == "ok"
    assert found["sink", f"{index_prefix}taken"]["verdict"] == "failure"
    wrong = [each["detail"] for each in json.loads(done.stdout) if each["area"] == "settings"]
    assert any("broken" in detail for detail in wrong)
    assert any("Put `properties` under `mappings`" in detail for detail in wrong)


def test_check_leaves_nothing_behind(run, settings, sink_url):
    assert run("check").returncode == 0
    http = urllib3.PoolManager()
    assert http.request("GET", f"{sink_url}/_cat/indices/penstock-check-*?h=index").data == b""


def test_check_sees_a_block_settings_that_forget_and_too_many_replicas(run, settings, sink_url, index_prefix):
    assert run("load").returncode == 0
    http = urllib3.PoolManager()
    forgets = {"translog.durability": "async", "gc_deletes": "14m"}
    changed = {"index": {**forgets, "number_of_replicas": 3, "blocks.read_only_allow_delete": True}}
    assert http.request("PUT", f"{sink_url}/{index_prefix}items/_settings", json=changed).status == 200
    done = run("check", "--json")
    verdicts = {each["subject"]: each["verdict"] for each in json.loads(done.stdout)}
    assert done.returncode == 0
    assert verdicts[f"{index_prefix}items-g1: translog"] == "warning"
    assert verdicts[f"{index_prefix}items-g1: gc_deletes"] == "warning"
    assert verdicts[f"{index_prefix}items-g1: blocks"] == "warning"
    assert verdicts[f"{index_prefix}items: replicas"] == "warning"


def test_check_tells_the_replicas_of_all_indexes_at_once(run, source_uri, sink_url):
    arguments = ["--source-uri", source_uri, "--sink-url", sink_url, "--collection", "a.b", "--collection", "a.c"]
    told = [each for each in json.loads(run("check", "--json", *arguments).stdout) if "replicas" in each["subject"]]
    assert [(each["subject"], each["verdict"]) for each in told] == [("a.b, a.c: replicas", "warning")]


def test_check_works_under_a_template_for_every_index_and_names_it(run, settings, sink_url, index_prefix):
    http, path = urllib3.PoolManager(), f"{sink_url}/_index_template/{index_prefix}template"
    mappings = {"dynamic": "strict", "properties": {"host": {"type": "keyword"}}}
    body = {"index_patterns": [f"{index_prefix}*", "penstock-check-*"], "template": {"mappings": mappings}}
    assert http.request("PUT", path, json=body).status == 200
    try:
        done = run("check", "--json")
    finally:
        http.request("DELETE", path)
    assert done.returncode == 0, done.stdout
    found = {each["subject"]: each for each in json.loads(done.stdout)}
    assert found["write with versions"]["verdict"] == "ok"
    assert found[f"{index_prefix}items: index template"]["detail"] == f"{index_prefix}template maps host"


def test_check_warns_where_an_index_will_not_keep_what_is_written(run, settings, tmp_path, index_prefix):
    mapping = {
        "settings": {"final_pipeline": f"{index_prefix}none"},
        "mappings": {"_source": {"excludes": ["a", "b.*"]}},
    }
    (tmp_path / "mapping.json").write_text(json.dumps(mapping))
    with (tmp_path / "penstock.toml").open("a") as file:
        file.write('mapping_file = "mapping.json"\n')
    done = run("check", "--json")
    found = {each["subject"]: each for each in json.loads(done.stdout)}
    pipeline, source = found[f"{index_prefix}items: ingest pipeline"], found[f"{index_prefix}items: _source"]
    assert pipeline["detail"] == f"{index_prefix}none does not exist: no document can be written"
    assert source["detail"] == "leaves out a, b.*: `verify` and `reindex` do not compare the rest"
    assert (pipeline["verdict"], source["verdict"]) == ("warning", "warning")
