"""A dashboard for Grafana and alerts for Prometheus, declared in `panels` and `rules`.

`python tests/docs/regenerate.py` writes grafana.json, alerts.yaml and the table in docs/metrics.md from them.
"""
