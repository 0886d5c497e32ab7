"""What is wrong with an expression of an alert or a panel: what promtool cannot know, since it has no declarations."""

from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from monitoring.render import labels_of
from penstock.observe.metrics import REPORTED

SCRAPE_LABELS = frozenset({"job", "instance", "namespace"})
"""Prometheus adds these, `namespace` in Kubernetes."""
_OVER_TIME = {"rate", "irate", "increase"}
_TAKEN_AWAY = {"histogram_quantile": frozenset({"le"}), "absent": SCRAPE_LABELS | {"pipeline"}}
_SETS = {"and", "unless", "or"}


def problems(expr: str) -> list[str]:
    """Name each metric and label that is not declared, each counter read without a rate, or why it does not parse."""
    try:
        tree = promql.parse(expr.replace("$__rate_interval", "5m"))
    except ValueError as error:
        return [f"does not parse: {error}"]
    return _Look().problems_of(tree)


def result_labels(expr: str) -> frozenset[str]:
    """Return the labels that each series of the result has."""
    return _Look().labels(promql.parse(expr.replace("$__rate_interval", "5m")))


def selectors(expr: str) -> list[tuple[str, dict[str, str]]]:
    """Return the series that an expression reads: the name, and labels that must have a value."""
    found = [each for each in _nodes(promql.parse(expr)) if isinstance(each, promql.VectorSelector)]
    return [
        (each.name, {one.name: one.value for one in each.matchers.matchers if str(one.op).endswith("Equal")})
        for each in found
    ]


class _Look:
    def __init__(self) -> None:
        self.found: list[str] = []

    def problems_of(self, tree: Any) -> list[str]:
        self.labels(tree)
        self._counters(tree, over_time=False)
        return self.found

    def labels(self, node: Any) -> frozenset[str]:
        """The labels of the node's result; notes what names a label that is not there."""
        match node:
            case promql.VectorSelector():
                return self._of_selector(node)
            case promql.MatrixSelector():
                return self.labels(node.vector_selector)
            case promql.AggregateExpr():
                return self._of_aggregate(node)
            case promql.BinaryExpr():
                return self._of_binary(node)
            case promql.Call():
                inner = frozenset[str]().union(*(self.labels(each) for each in node.args))
                return inner - _TAKEN_AWAY.get(node.func.name, frozenset())
            case _:
                return frozenset().union(*(self.labels(each) for each in _children(node)))

    def _of_selector(self, node: Any) -> frozenset[str]:
        try:
            declared = labels_of(node.name)
        except KeyError:
            self.found.append(f"{node.name} is not declared")
            return frozenset()
        known = SCRAPE_LABELS | set(declared) | ({"le"} if node.name.endswith("_bucket") else set())
        self._require({each.name for each in node.matchers.matchers}, known, node.name)
        return known

    def _of_aggregate(self, node: Any) -> frozenset[str]:
        inner = self.labels(node.expr)
        if node.modifier is None:
            return frozenset()
        named = frozenset(node.modifier.labels)
        self._require(named, inner, "what is aggregated")
        return named if node.modifier.type == promql.AggModifierType.By else inner - named

    def _of_binary(self, node: Any) -> frozenset[str]:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        matching = node.modifier.matching if node.modifier else None
        if matching is not None:
            self._require(frozenset(matching.labels), left & right, "one of the two sides")
        elif left and right and left != right and str(node.op) != "or":
            self.found.append(f"no series match: {sorted(left ^ right)} are on one side only")
        if isinstance(node.rhs, promql.NumberLiteral) or str(node.op) in _SETS - {"or"}:
            return left
        return left & right

    def _require(self, named: Any, known: Any, where: str) -> None:
        self.found += [f"{where} has no label {label}" for label in sorted(set(named) - set(known))]

    def _counters(self, node: Any, *, over_time: bool) -> None:
        if isinstance(node, promql.VectorSelector) and not over_time and _counts(node.name):
            self.found.append(f"{node.name} only grows: use rate or increase")
        if isinstance(node, promql.BinaryExpr) and _is_new(node):
            return
        within = over_time or (isinstance(node, promql.Call) and node.func.name in _OVER_TIME)
        for each in _children(node):
            self._counters(each, over_time=within)


def _is_new(node: Any) -> bool:
    """Whether this asks for series of a counter that were not there some time ago: a counter's first event."""
    sides = (node.lhs, node.rhs)
    if str(node.op) != "unless" or not all(isinstance(each, promql.VectorSelector) for each in sides):
        return False
    return (
        f"{node.lhs} offset {promql.display_duration(node.rhs.offset)}" == str(node.rhs) if node.rhs.offset else False
    )


def _counts(name: str) -> bool:
    return name not in REPORTED or REPORTED[name].kind == "counter"  # not declared so: part of a histogram


def _children(node: Any) -> list[Any]:
    if isinstance(node, promql.MatrixSelector):
        return [node.vector_selector]
    if isinstance(node, promql.Call):
        return list(node.args)
    return [each for name in ("lhs", "rhs", "expr") if (each := getattr(node, name, None)) is not None]


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for each in _children(node):
        yield from _nodes(each)
