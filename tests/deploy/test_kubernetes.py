"""The chart and the plain manifest: what Kubernetes' schemas, the settings and the command line say to them."""

import os
import re
import subprocess
import tomllib
import urllib.request
from pathlib import Path

import pytest
import yaml

from testkit import helm
from testkit.manifests import objects, parsed, pods, read_as_in, schema_problems, secrets_as_values
from testkit.workspace import PENSTOCK

needs_helm = pytest.mark.skipif(helm.find() is None, reason=helm.HOW)

EXAMPLE = yaml.safe_load(helm.VALUES.read_text())
KAFKA = yaml.safe_load(helm.KAFKA_VALUES.read_text())
MANIFESTS = {str(each.relative_to(helm.ROOT)): each for each in helm.EXAMPLES}
LEAST = {
    "image": {"repository": "penstock"},
    "settings": '[source]\nuri = "mongodb://mongo/?replicaSet=rs0"\n[sink]\nurl = "http://search:9200"\n'
    '[[collections]]\nnamespace = "shop.orders"\n',
}
TWO_DATABASES = LEAST["settings"] + '[[collections]]\nnamespace = "mail.letters"\nfunction = "letters:shape"\n'
CONSOLE = {"enabled": True, "existingSecret": "console", "allowedHosts": ["penstock.example.com", "other.example.com"]}
EVERYTHING = {
    **EXAMPLE,
    "replicas": 3,
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "PENSTOCK_OBSERVE_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/penstock"}},
    "podAnnotations": {"note": "yes"},
    "podLabels": {"team": "search"},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "search", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "networkPolicy": {
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "console": {**CONSOLE, "behindProxy": True, "actions": True, "showValues": True, "viewerTokenKey": "viewers"},
}
VALUES = {
    "the least": LEAST,
    "the example": EXAMPLE,
    "everything": EVERYTHING,
    "console with a certificate": {**LEAST, "console": {**CONSOLE, "tlsSecret": "console-tls"}},
    "two databases": {**LEAST, "settings": TWO_DATABASES, "files": {"letters.py": "def shape(d):\n    return d\n"}},
    "capture and apply": {
        **KAFKA,
        "serviceMonitor": {"enabled": True},
        "verify": {"enabled": True, "args": ["--wait", "30"]},
        "console": {**CONSOLE, "behindProxy": True},
    },
    "load before the workers": {**LEAST, "replicas": 0, "load": {"enabled": True, "args": ["--again"]}},
    "nothing but the workers": {
        **LEAST,
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
    },
}


@pytest.fixture(scope="module", params=[*MANIFESTS, *VALUES])
def found(request):
    """The objects of a plain manifest, or of the chart with some values."""
    if request.param not in VALUES:
        return objects(MANIFESTS[request.param].read_text())
    if helm.find() is None:
        pytest.skip(helm.HOW)
    done = helm.template(VALUES[request.param])
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def test_the_schemas_of_kubernetes_take_it(found):
    assert schema_problems(found) == []


def test_penstock_reads_the_settings_of_each_pod(found, tmp_path):
    for name, pod in pods(found).items():
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        settings = read_as_in(pod, found, folder)
        assert settings.collections[0].namespace == "shop.orders"


def test_penstock_takes_each_command_line(found):
    commands = {(name.partition("/")[0], parsed(pod)[0]) for name, pod in pods(found).items() if "console" not in name}
    serving = {command for kind, command in commands if kind == "Deployment"}
    assert serving in ({"run"}, {"capture", "apply"})
    assert commands <= {("CronJob", "verify"), ("Job", "load"), *(("Deployment", each) for each in serving)}
    for name, pod in pods(found).items():
        if name.startswith("CronJob"):
            assert parsed(pod)[1]["wait"] == 30
        if name.startswith("Job"):
            assert parsed(pod)[1]["again"] is True


def test_pods_have_no_rights_that_they_do_not_need(found):
    for pod in pods(found).values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == user_of_the_image()
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            writable = [each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")]
            assert writable == ["/tmp"]
            assert not container["image"].endswith((":latest", ":"))


def user_of_the_image():
    (user,) = re.findall(r"^USER (\d+)$", (helm.ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return int(user)


def test_the_probes_are_those_that_the_docs_ask_for(found):
    for worker in serving(found):
        (container,) = worker["spec"]["template"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/metrics", "port": "metrics"}
        assert {each["name"]: each["containerPort"] for each in container["ports"]} == {"metrics": 9400}
        assert {"name": "PENSTOCK_OBSERVE_LISTEN", "value": ":9400"} in container["env"]


def serving(found):
    """The Deployments of what serves until it is stopped, but for the console."""
    serving = [each for each in found if each["kind"] == "Deployment" and "console" not in each["metadata"]["name"]]
    assert serving
    return serving


def test_selectors_find_the_pods_that_they_are_meant_for(found):
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(found).items()}
    for each in found:
        spec = each.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if each["kind"] in ("CronJob", "Job") or selector is None:
            continue
        wanted = selector.get("matchLabels", selector)
        if each["kind"] == "ServiceMonitor":
            services = [one for one in found if one["kind"] == "Service"]
            assert [one["metadata"]["name"] for one in services if wanted.items() <= one["metadata"]["labels"].items()]
            continue
        assert len([name for name, its in labels.items() if wanted.items() <= its.items()]) == 1, each


def test_no_secret_is_part_of_it(found):
    assert secrets_as_values(found) == set()


def test_a_rolling_update_never_has_fewer_workers(found):
    for worker in serving(found):
        assert worker["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 10


@needs_helm
@pytest.mark.parametrize("example", MANIFESTS)
def test_a_plain_manifest_is_what_the_chart_makes_of_the_example(example):
    manifest = MANIFESTS[example]
    assert manifest.read_text() == helm.plain_manifest(manifest), "run: python tests/docs/regenerate.py"


@needs_helm
def test_everything_is_rendered_once_asked_for():
    found = objects(helm.template(EVERYTHING).stdout)
    kinds = {(each["kind"], each["metadata"]["name"]) for each in found}
    assert kinds == {
        ("ConfigMap", "penstock"),
        ("CronJob", "penstock-verify"),
        ("Deployment", "penstock"),
        ("Deployment", "penstock-console"),
        ("NetworkPolicy", "penstock-console"),
        ("NetworkPolicy", "penstock-verify"),
        ("NetworkPolicy", "penstock-worker"),
        ("PodDisruptionBudget", "penstock"),
        ("PrometheusRule", "penstock"),
        ("Service", "penstock"),
        ("Service", "penstock-console"),
        ("ServiceAccount", "penstock"),
        ("ServiceMonitor", "penstock"),
    }


@needs_helm
def test_an_empty_list_of_those_who_may_come_lets_nobody_in():
    """An empty `from` would let everybody in (the API's NetworkPolicyIngressRule)."""
    values = {
        **EVERYTHING,
        "networkPolicy": {**EVERYTHING["networkPolicy"], "metricsFrom": []},
        "console": {**EVERYTHING["console"], "from": []},
    }
    policies = [each for each in objects(helm.template(values).stdout) if each["kind"] == "NetworkPolicy"]
    assert {each["metadata"]["name"]: each["spec"].get("ingress") for each in policies} == {
        "penstock-worker": [],
        "penstock-console": [],
        "penstock-verify": None,
    }


@needs_helm
def test_the_alerts_in_the_cluster_are_those_of_the_repository():
    (rule,) = [each for each in objects(helm.template(EVERYTHING).stdout) if each["kind"] == "PrometheusRule"]
    alerts = yaml.safe_load((helm.ROOT / "monitoring" / "alerts.yaml").read_text())
    assert rule["spec"] == alerts


@needs_helm
def test_the_console_has_what_its_values_say(tmp_path):
    found = objects(helm.template(EVERYTHING).stdout)
    console = read_as_in(pods(found)["Deployment/penstock-console"], found, tmp_path).console
    assert (console.actions, console.show_values, console.behind_proxy) == (True, True, True)
    assert console.allowed_hosts == "penstock.example.com,other.example.com"
    assert (console.token_file.name, console.viewer_token_file.name) == ("token", "viewers")


@needs_helm
def test_the_console_of_the_pod_starts_and_answers_the_probe_by_the_address_of_the_pod(tmp_path):
    found = objects(helm.template({**LEAST, "console": {**CONSOLE, "behindProxy": True, "actions": True}}).stdout)
    pod = pods(found)["Deployment/penstock-console"]
    read_as_in(pod, found, tmp_path)
    (container,) = pod["spec"]["containers"]
    secrets = str(tmp_path / "run" / "secrets")
    environ = {each["name"]: each["value"].replace("/run/secrets", secrets) for each in container["env"]}
    assert environ["PENSTOCK_CONSOLE_LISTEN"] == ":9401"
    environ |= {"PENSTOCK_CONSOLE_LISTEN": "0.0.0.0:0", "PATH": os.environ["PATH"]}
    command = [*PENSTOCK, *container["args"]]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            (port,) = re.findall(r":(\d+)$", line.strip())
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/healthz", headers={"Host": "10.0.0.7:9401"})
            with urllib.request.urlopen(asked, timeout=60) as answer:
                assert answer.status == 200
        finally:
            process.terminate()
    assert process.returncode == 0


@needs_helm
def test_the_console_asks_for_its_health_by_https_with_a_certificate():
    found = objects(helm.template(VALUES["console with a certificate"]).stdout)
    (container,) = pods(found)["Deployment/penstock-console"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "console", "scheme": "HTTPS"}


@needs_helm
def test_other_settings_restart_the_pods_and_another_number_of_workers_does_not():
    def checksum(values):
        found = objects(helm.template(values).stdout)
        return pods(found)["Deployment/penstock"]["metadata"]["annotations"]["checksum/settings"]

    assert checksum(LEAST) != checksum({**LEAST, "files": {"a.json": "{}"}})
    assert checksum(LEAST) == checksum({**LEAST, "replicas": 4})


@needs_helm
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "minLength"),
        ({**LEAST, "replica": 3}, "additional properties 'replica' not allowed"),
        ({**LEAST, "secretEnv": {"PENSTOCK_SOURCE_URI": "uri"}}, "/existingSecret"),
        ({**LEAST, "files": {"penstock.toml": "x"}}, "'penstock.toml'"),
        ({**LEAST, "apply": {"replicas": 3}}, "capture and apply need replicas: 0"),
        ({**LEAST, "capture": {"processes": 3}}, "additional properties 'processes' not allowed"),
        ({**LEAST, "load": {"enabled": True}}, "load.enabled needs replicas: 0"),
        ({**LEAST, "console": {"enabled": True, "behindProxy": True}}, "/console/existingSecret"),
        ({**LEAST, "console": {**CONSOLE, "allowedHosts": [], "behindProxy": True}}, "/console/allowedHosts"),
        ({**LEAST, "console": CONSOLE}, "console needs HTTPS"),
        ({**LEAST, "console": {**CONSOLE, "tlsSecret": "a", "behindProxy": True}}, "console needs HTTPS"),
    ],
)
def test_values_that_cannot_work_are_refused(values, problem):
    done = helm.template(values)
    assert done.returncode != 0
    assert problem in done.stderr


@needs_helm
def test_helm_finds_nothing_to_complain_about():
    done = helm.run("lint", "--strict", helm.CHART, "--values", helm.VALUES)
    assert done.returncode == 0, done.stdout


def test_the_chart_is_of_the_version_of_penstock():
    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
    project = tomllib.loads((helm.ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


def test_each_value_is_in_the_readme_of_the_chart():
    named = set(re.findall(r"^\| `([\w.]+)`", (helm.CHART / "README.md").read_text(), re.MULTILINE))
    declared = {
        f"{name}.{inner}" if inner else name
        for name, value in yaml.safe_load((helm.CHART / "values.yaml").read_text()).items()
        for inner in (value if isinstance(value, dict) and value and name != "resources" else [""])
    }
    assert named == declared


def test_what_is_wrong_is_found(tmp_path: Path):
    text = helm.EXAMPLE.read_text()

    def broken(old: str, new: str) -> list:
        assert old in text
        return objects(text.replace(old, new, 1))

    assert schema_problems(broken("replicas: 2", "replicas: two"))
    assert schema_problems(broken("maxUnavailable: 0", "maxUnavailble: 0"))
    assert schema_problems(broken("schedule:", "when:"))
    with pytest.raises(Exception, match="No such option"):
        parsed(pods(broken('"--wait"', '"--await"'))["CronJob/penstock-verify"])
    wrong = broken("retention_s = 10800", "retention = 10800")
    with pytest.raises(Exception, match="retention"):
        read_as_in(pods(wrong)["Deployment/penstock"], wrong, tmp_path)
    with pytest.raises(AssertionError):
        objects("a: 1\na: 2\n")
