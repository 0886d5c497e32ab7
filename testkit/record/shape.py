"""Brings what a server answers into the form of the record: no tokens, times, generated ids or addresses."""

import json
import re
import time

from bson import Binary, Timestamp, json_util
from pymongo.errors import OperationFailure

_FIXED_ID = "5bb1f2a0c0ffee0000000001"
_START = int(time.time()) - 5
_REAL_TIME = 1_000_000_000
_USUAL_KEYS = ["operationTime", "ok", "errmsg", "code", "codeName", "$clusterTime"]
_REPLACED = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
    (r"\b\d{12,}\b", "<bignum>"),
    (r"\b82[0-9A-F]{16,}\b", "<hex>"),
    (r"Timestamp\(\d{9,}, \d+\)", "Timestamp(<t>)"),
    (r"tmp[.\w]*\.agg_out\.\d+", "tmp.agg_out.<n>"),
    (r"tmp[A-Za-z0-9]{5}\.", "tmp<rnd>."),
    (r"127\.0\.0\.1:\d+", "<host>"),
    (r"ObjectId\('(?!5bb1f2a0c0ffee)[0-9a-f]{24}'\)", "ObjectId(<gen>)"),
    (r"Transaction \d+ has", "Transaction <n> has"),
]
_WHOLE_VALUES = {
    "$clusterTime": "<$clusterTime>",
    "electionId": "<oid>",
    "wallTime": "<wall>",
    "localTime": "<wall>",
    "ui": "<uuid>",
    "uuid": "<uuid>",
    "connectionId": "<n>",
}


def text(value):
    for pattern, replacement in _REPLACED:
        value = re.sub(pattern, replacement, value)
    return value


def plain(value, times=None):
    """Replace what differs from run to run; `times` names the cluster times of one operation."""
    times = times or {}
    if isinstance(value, dict):
        return {name: _field(name, item, times) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item, times) for item in value]
    if isinstance(value, str):
        return text(value) if len(value) < 5000 else f"<str len={len(value)}>"
    if isinstance(value, Binary) and len(value) > 5000:
        return f"<bin len={len(value)}>"
    if isinstance(value, Timestamp) and value in times:
        return f"<{times[value]}>"
    return value


def _field(name, value, times):
    if name in _WHOLE_VALUES:
        return _WHOLE_VALUES[name]
    if name in ("operationTime", "clusterTime") and isinstance(value, Timestamp):
        return f"<{times[value]}>" if value in times else "<T>"
    if name in ("opTime", "optime", "lastWrite"):
        return dict.fromkeys(value, "<v>") if isinstance(value, dict) else "<v>"
    if name == "lsid" and isinstance(value, dict):
        return dict.fromkeys(value, "<v>")
    if name == "_data" and isinstance(value, str):
        return "<hex>"
    return _cursor_or_position(name, value, times)


def _cursor_or_position(name, value, times):
    if name in ("id", "getMore") and isinstance(value, int) and value > 1 << 20:
        return "<cursorid>"
    if name in ("cursorsKilled", "cursorsNotFound", "cursors") and isinstance(value, list):
        return ["<cursorid>" if isinstance(item, int) and item > 1 << 33 else item for item in value]
    if name in ("resumeAfter", "startAfter") and isinstance(value, dict) and list(value) == ["_data"]:
        return "<token>"
    if name == "startAtOperationTime" and isinstance(value, Timestamp) and value.time > _REAL_TIME:
        return "<T>"
    return plain(value, times)


def as_json(value):
    """The value as the record holds it: canonical extended JSON, with the generated values named."""
    return _named(json.loads(json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)))


def _named(value):
    if isinstance(value, list):
        return [_named(item) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["$oid"] and value["$oid"] != _FIXED_ID:
        return "<generated ObjectId>"
    if list(value) == ["$date"] and _milliseconds(value["$date"]) > _START * 1000:
        return "<now: date>"
    if list(value) == ["$timestamp"] and value["$timestamp"]["t"] > _START:
        return "<now: timestamp>"
    return {name: "<n>" if name == "txnNumber" else _named(item) for name, item in value.items()}


def _milliseconds(date):
    return int(date.get("$numberLong", 0)) if isinstance(date, dict) else 0


def failure(error):
    """A driver's error as the record holds it."""
    shown = {"type": type(error).__name__}
    labels = sorted(getattr(error, "_error_labels", []))
    if not isinstance(error, OperationFailure):
        return {**shown, "msg": text(str(error))[:400], "labels": labels}
    details = error.details or {}
    shown |= {"code": error.code, "codeName": details.get("codeName"), "errmsg": text(str(details.get("errmsg", "")))}
    shown |= {"labels": labels, "replyKeys": list(details)}
    if "writeErrors" in details:
        shown["details"] = as_json(plain(dict(details)))
    return shown


def slim(value):
    """Leave out what every reply has; `tail` names the order of its last keys."""
    if isinstance(value, list):
        return [slim(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: slim(item) for name, item in value.items() if not (name == "replyKeys" and item == _USUAL_KEYS)}
    if "command" in kept and isinstance(kept.get("reply"), dict):
        _cut_tail(kept)
    return kept


def _cut_tail(kept):
    names = list(kept["reply"])
    tail = ("opTime", "electionId", "operationTime", "$clusterTime")
    if sorted(names[-2:]) == ["$clusterTime", "operationTime"]:
        kept["reply"] = {name: item for name, item in kept["reply"].items() if name not in tail}
        kept["tail"] = " ".join(name for name in names if name in tail)
