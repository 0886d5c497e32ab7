"""Functions under the real `awslambdaric`: what they get and answer, Lambda's limits, and what is logged of them."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import urllib3

from penstock_tools.aws.runtime import folder as installing
from penstock_tools.aws.runtime.api import RESPONSE_LIMIT, Answered, Ready, RuntimeApi, RuntimeInvocation
from penstock_tools.aws.runtime.function import REQUEST_LIMIT, RequestEntityTooLarge
from penstock_tools.aws.runtime.functions import Functions
from penstock_tools.servers.errors import LocalServerError

MANY = """
    import os, signal, subprocess, time

    def handler(event, context):
        print("asked for", event["do"])
        return globals()[event["do"]](event)

    def pid(event):
        return os.getpid()

    def fail(event):
        raise ValueError("no luck")

    def sleep(event):
        time.sleep(600)

    def answer(event):
        return "x" * (event["bytes"] - 2)

    def die(event):
        os._exit(event["status"])

    def killed(event):
        os.kill(os.getpid(), signal.SIGKILL)

    def environment(event):
        return dict(os.environ)

    def sleep_with_child(event):
        child = subprocess.Popen(["sleep", "600"])
        open(event["file"], "w").write(str(child.pid))
        child.wait()
"""


def ask(function, what, **more):
    return function.invoke(json.dumps({"do": what, **more}).encode())


def answer(invocation):
    assert invocation.function_error is None, invocation.payload[:500]
    return json.loads(invocation.payload)


def error(invocation):
    assert invocation.function_error == "Unhandled", invocation.payload[:500]
    return json.loads(invocation.payload)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def many(start):
    return start(MANY)


def test_a_function_gets_its_event_and_the_context_of_lambda(start):
    function = start(
        """
        def handler(event, context):
            return {
                "event": event,
                "name": context.function_name,
                "version": context.function_version,
                "arn": context.invoked_function_arn,
                "memory": context.memory_limit_in_mb,
                "id": context.aws_request_id,
                "group": context.log_group_name,
                "left": context.get_remaining_time_in_millis(),
            }
        """
    )
    seen = answer(function.invoke('{"name": "Zoë", "n": [1, null, 2.5]}'.encode()))
    left = seen.pop("left")
    assert 0 < left <= 60_000
    assert seen == {
        "event": {"name": "Zoë", "n": [1, None, 2.5]},
        "name": "tried",
        "version": "$LATEST",
        "arn": "arn:aws:lambda:eu-west-1:123456789012:function:tried",
        "memory": "256",
        "id": function.reports[-1].request_id,
        "group": "/aws/lambda/tried",
    }


def test_a_sandbox_is_started_by_the_first_call_and_kept(many):
    assert many.init_s is None
    first = answer(ask(many, "pid"))
    assert answer(ask(many, "pid")) == first
    cold, warm = many.reports
    assert cold.init_s == many.init_s > 0
    assert warm.init_s is None
    assert all(report.duration_s > 0 and report.error_type is None for report in many.reports)
    if sys.platform == "linux":
        assert 5 < many.peak_memory_mb < 200


def test_an_error_is_answered_with_its_type_and_place_and_the_sandbox_stays(many):
    before = answer(ask(many, "pid"))
    told = error(ask(many, "fail"))
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "no luck")
    assert "it.py" in "".join(told["stackTrace"])
    assert answer(ask(many, "pid")) == before


def test_only_the_folder_the_runtime_and_the_standard_library_can_be_imported(start, runtime):
    function = start("import sys\n\ndef handler(event, context):\n    return sys.path")
    task_root, second, *rest = answer(function.invoke(b"{}"))
    assert (Path(task_root).name, Path(second)) == ("task", runtime)
    assert not [path for path in rest if "site-packages" in path]


def test_a_package_that_the_folder_lacks_fails_as_on_lambda_until_it_is_there(start, tmp_path):
    function = start("import pymongo\n\ndef handler(event, context):\n    return pymongo.WHERE")
    told = error(function.invoke(b"{}"))
    assert told["errorType"] == "Runtime.ImportModuleError"
    assert told["errorMessage"] == "Unable to import module 'it': No module named 'pymongo'"
    assert "Runtime.ImportModuleError: Unable to import module 'it'" in function.log.read_text()
    (Path(function.log).parent.parent / "task" / "pymongo.py").write_text("WHERE = 'in the folder'")
    assert answer(function.invoke(b"{}")) == "in the folder"


def test_a_handler_that_is_not_there_is_told(start):
    told = error(start("", handler="it.nothing").invoke(b"{}"))
    assert (told["errorType"], told["errorMessage"]) == (
        "Runtime.HandlerNotFound",
        "Handler 'nothing' missing on module 'it'",
    )


def test_the_environment_is_what_lambda_gives_and_what_was_configured(start, monkeypatch):
    monkeypatch.setenv("PENSTOCK_OF_THE_SHELL", "1")
    monkeypatch.setenv("PYTHONPATH", "/of/the/shell")
    given = {"AWS_ACCESS_KEY_ID": "key", "DOCUMENT_DB_SECRET": "arn", "TZ": "CET", "AWS_LAMBDA_FUNCTION_NAME": "other"}
    function = start(MANY, environment=given)
    seen = answer(ask(function, "environment"))
    expected = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "tried",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_REGION": "eu-west-1",
        "DOCUMENT_DB_SECRET": "arn",
        "LANG": "en_US.UTF-8",
        "TZ": "CET",
        "_HANDLER": "it.handler",
    }
    assert expected.items() <= seen.items()
    assert {"PATH", "HOME", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_RUNTIME_API"} <= seen.keys()
    assert not {"PENSTOCK_OF_THE_SHELL", "PYTHONPATH", "VIRTUAL_ENV"} & seen.keys()
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", seen["_X_AMZN_TRACE_ID"])


def test_a_changed_environment_is_seen_by_a_new_sandbox(start):
    function = start(MANY, environment={"KEPT": "1", "CHANGED": "old"})
    before = answer(ask(function, "pid"))
    function.update_environment({"CHANGED": "new"})
    seen = answer(ask(function, "environment"))
    assert (seen["KEPT"], seen["CHANGED"]) == ("1", "new")
    assert answer(ask(function, "pid")) != before
    assert not psutil.pid_exists(before)


def test_a_call_that_takes_too_long_is_ended_and_the_sandbox_replaced(start):
    function = start(MANY, timeout_s=3.0)
    before = answer(ask(function, "pid"))
    told = error(ask(function, "sleep"))
    request_id = function.reports[-1].request_id
    assert told == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 3.00 seconds",
    }
    assert not psutil.pid_exists(before)
    assert answer(ask(function, "pid")) != before


def test_an_init_that_never_ends_is_a_timeout(start, monkeypatch):
    monkeypatch.setattr("penstock_tools.aws.runtime.sandbox._INIT_LIMIT_S", 0.3)
    function = start("import time; time.sleep(600)", timeout_s=0.2)
    assert error(function.invoke(b"{}"))["errorType"] == "Sandbox.Timedout"
    assert function.init_s is None


def test_an_answer_may_have_six_megabytes_and_not_a_byte_more(many):
    assert len(ask(many, "answer", bytes=RESPONSE_LIMIT).payload) == RESPONSE_LIMIT == 6_291_556
    told = error(ask(many, "answer", bytes=RESPONSE_LIMIT + 1))
    assert told == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert "Failed to post handler success response. Http response code: 413." in many.log.read_text()
    assert answer(ask(many, "pid")) > 0


def test_an_event_may_have_six_megabytes_and_not_a_byte_more(start):
    function = start("def handler(event, context):\n    return len(event)")
    assert answer(function.invoke(b'"' + b"x" * (REQUEST_LIMIT - 2) + b'"')) == REQUEST_LIMIT - 2
    with pytest.raises(RequestEntityTooLarge, match=r"tried was not called: 6291457 byte payload is too large"):
        function.invoke(b'"' + b"x" * (REQUEST_LIMIT - 1) + b'"')
    assert len(function.reports) == 1


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"what": "die", "status": 3}, "Runtime exited with error: exit status 3"),
        ({"what": "die", "status": 0}, "Runtime exited without providing a reason"),
        ({"what": "killed"}, "Runtime exited with error: signal: killed"),
    ],
)
def test_a_process_that_dies_is_told_and_replaced(many, what, reason):
    told = error(ask(many, **what))
    request_id = many.reports[-1].request_id
    assert told == {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request_id} Error: {reason}"}
    assert f"RequestId: {request_id} Error: {reason}\nRuntime.ExitError\nEND" in many.log.read_text()
    assert answer(ask(many, "pid")) > 0


def test_a_process_that_dies_between_calls_costs_no_call(many):
    before = answer(ask(many, "pid"))
    os.kill(before, 9)
    until(lambda: not psutil.pid_exists(before))
    assert answer(ask(many, "pid")) != before


def test_calls_at_the_same_time_wait_for_each_other(start):
    function = start(
        """
        import time

        def handler(event, context):
            began = time.monotonic()
            time.sleep(0.05)
            return began, time.monotonic()
        """
    )
    spans = []
    threads = [threading.Thread(target=lambda: spans.append(answer(function.invoke(b"{}")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    spans.sort()
    assert len(spans) == 4
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))
    assert [report.init_s is None for report in function.reports] == [False, True, True, True]


def test_the_log_has_the_lines_of_lambda_around_what_the_function_says(start):
    function = start(
        """
        import logging, sys
        print("while loading")

        def handler(event, context):
            print("printed")
            print("an error line", file=sys.stderr)
            logging.getLogger("x").warning("logged")
            if event:
                raise ValueError("no luck")
        """
    )
    function.invoke(b"0")
    function.invoke(b"1")
    one, two = (report.request_id for report in function.reports)
    number = r"\d+\.\d\d ms"
    memory = r"\tMax Memory Used: \d+ MB" if sys.platform == "linux" else ""
    report = rf"Duration: {number}\tBilled Duration: \d+ ms\tMemory Size: 256 MB{memory}"
    said = "printed\nan error line\n"
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    expected = (
        rf"INIT_START Runtime Version: python:3\.\d+\nwhile loading\n"
        rf"START RequestId: {one} Version: \$LATEST\n{said}\[WARNING\]\t{stamp}\t{one}\tlogged\n"
        rf"END RequestId: {one}\nREPORT RequestId: {one}\t{report}\tInit Duration: {number}\n"
        rf"START RequestId: {two} Version: \$LATEST\n{said}\[WARNING\]\t{stamp}\t{two}\tlogged\n"
        rf"\[ERROR\] ValueError: no luck\nTraceback \(most recent call last\):\n  File .*it\.py.*\n    raise .*\n"
        rf"END RequestId: {two}\nREPORT RequestId: {two}\t{report}\n"
    )
    with function.log.open(newline="") as log:
        text = log.read()
    assert re.fullmatch(expected, text), text


def test_the_log_tells_a_timeout(start):
    function = start(MANY, timeout_s=0.3)
    ask(function, "sleep")
    request_id = function.reports[-1].request_id
    text = function.log.read_text()
    assert re.search(rf"\d\dZ {request_id} Task timed out after 0\.30 seconds\n\nEND RequestId: {request_id}\n", text)
    assert text.endswith("\tStatus: timeout\n")


def test_the_folder_stays_as_it_was_built(many):
    answer(ask(many, "pid"))
    assert [path.name for path in (many.log.parent.parent / "task").iterdir()] == ["it.py"]


def test_what_was_compiled_is_kept_when_that_is_asked_for(start):
    function = start(MANY, keep_compiled=True)
    answer(ask(function, "pid"))
    (kept,) = (function.log.parent.parent / "task").rglob("*.pyc")
    made_at = kept.stat().st_mtime_ns
    function.crash()
    answer(ask(function, "pid"))
    assert kept.stat().st_mtime_ns == made_at


def test_nothing_runs_after_a_function_was_left(new_function):
    with new_function(MANY) as function:
        pid = answer(ask(function, "pid"))
        home = Path(answer(ask(function, "environment"))["HOME"])
        assert home.is_dir()
    assert not psutil.pid_exists(pid)
    assert not home.exists()
    with pytest.raises(LocalServerError, match="tried has been stopped"):
        ask(function, "pid")


def test_leaving_ends_a_call_that_goes_on_and_what_it_started(new_function, tmp_path):
    ended = []
    pid_file = tmp_path / "pid"
    with new_function(MANY) as function:
        caller = threading.Thread(target=lambda: ended.append(ask(function, "sleep_with_child", file=str(pid_file))))
        caller.start()
        until(lambda: pid_file.exists() and pid_file.read_text())
    caller.join(60)
    assert error(ended[0])["errorType"] == "Runtime.ExitError"
    child = int(pid_file.read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


OWNER = """
import sys, time
from pathlib import Path
from penstock_tools.aws.runtime.function import LambdaFunction

folder, runtime = map(Path, sys.argv[1:])
options = {"timeout_s": 60.0, "memory_mb": 128, "region": "eu-west-1", "account": "123456789012", "environment": {}}
options |= {"folder": folder, "runtime": runtime, "log": folder / "log"}
with LambdaFunction("f", handler="it.handler", **options) as function:
    print(function.invoke(b"{}").payload.decode(), flush=True)
    time.sleep(600)
"""


def test_a_function_ends_when_its_owner_was_killed(runtime, tmp_path):
    (tmp_path / "it.py").write_text("import os\n\ndef handler(event, context):\n    return os.getpid()")
    with subprocess.Popen([sys.executable, "-c", OWNER, tmp_path, runtime], stdout=subprocess.PIPE) as owner:
        function_pid = int(owner.stdout.readline())
        owner.kill()
    until(lambda: not psutil.pid_exists(function_pid) or psutil.Process(function_pid).status() == psutil.STATUS_ZOMBIE)


def test_functions_are_called_by_name_and_left_together(new_function):
    code = "import os\n\ndef handler(event, context):\n    return context.function_name, os.getpid()"
    with Functions([new_function(code, name="reader"), new_function(code, name="writer")]) as functions:
        reader, reader_pid = answer(functions.invoke("reader", b"{}"))
        writer, writer_pid = answer(functions.invoke("writer", b"{}"))
        assert (reader, writer) == ("reader", "writer")
        assert [function.name for function in functions] == ["reader", "writer"]
        assert functions["writer"].init_s > 0
        with pytest.raises(KeyError, match="nobody"):
            functions.invoke("nobody", b"{}")
    assert not psutil.pid_exists(reader_pid)
    assert not psutil.pid_exists(writer_pid)


def test_a_function_without_its_folder_is_refused_and_the_others_are_left(new_function):
    there, missing = new_function(MANY, name="there"), new_function(MANY, name="missing")
    task = missing.log.parent.parent / "task"
    task.rename(task.with_name("elsewhere"))
    with pytest.raises(LocalServerError, match=r"function missing has no folder .*task: build it first"):
        Functions([there, missing]).__enter__()
    with pytest.raises(LocalServerError, match="there has been stopped"):
        ask(there, "pid")


def test_the_runtime_api_gives_an_event_with_its_headers_and_takes_only_its_answer():
    api = RuntimeApi()
    url = f"http://{api.address}/2018-06-01/runtime/invocation"
    api.give(RuntimeInvocation("id-1", b'{"a": 1}', 1_700_000_000_000, "arn:f", "Root=1"))
    with urllib3.PoolManager() as http:
        given = http.request("GET", f"{url}/next", retries=False)
        assert (given.status, given.data) == (200, b'{"a": 1}')
        assert given.headers["Lambda-Runtime-Aws-Request-Id"] == "id-1"
        assert given.headers["Lambda-Runtime-Deadline-Ms"] == "1700000000000"
        assert given.headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn:f"
        assert given.headers["Lambda-Runtime-Trace-Id"] == "Root=1"
        other = http.request("POST", f"{url}/id-2/response", body=b"1", retries=False)
        assert (other.status, other.json()["errorType"]) == (400, "InvalidRequestID")
        assert http.request("POST", f"{url}/id-1/response", body=b"1", retries=False).status == 202
        assert http.request("POST", f"{url}/id-1/error", body=b"1", retries=False).status == 400
        assert http.request("GET", f"{url}/nothing", retries=False).status == 404
        assert http.request("POST", f"{url}/nothing", body=b"1", retries=False).status == 404
    api.close()
    heard = [api.signals.get_nowait(), api.signals.get_nowait()]
    assert heard[0] == Ready()
    assert isinstance(heard[1], Answered)
    assert heard[1].invocation.payload == b"1"
    assert api.signals.empty()


def test_the_runtime_is_installed_once(tmp_path, monkeypatch):
    folder = installing.runtime_folder(tmp_path)
    assert (folder / "awslambdaric" / "bootstrap.py").is_file()
    monkeypatch.setattr(installing, "_install", lambda target: pytest.fail("installed again"))
    assert installing.runtime_folder(tmp_path) == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_runtime_with_another_sum_is_refused(tmp_path, monkeypatch):
    lock = tmp_path / "runtime.lock"
    lock.write_text(f"awslambdaric==4.2.2 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(installing, "_LOCK", lock)
    with pytest.raises(LocalServerError, match=r"(?s)awslambdaric\) cannot be installed.*[Hh]ash"):
        installing.runtime_folder(tmp_path / "cache")
    assert list((tmp_path / "cache" / "lambda-runtime").iterdir()) == []


def test_a_missing_uv_is_told_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(installing, "find_spec", lambda name: None)
    with pytest.raises(LocalServerError, match=r"uv is missing\. Install penstock\[aws-local\]"):
        installing.runtime_folder(tmp_path)
