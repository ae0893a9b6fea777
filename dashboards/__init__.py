"""Dashboards, alert rules and example configurations of Prometheus and Alertmanager. The Python here makes the JSON."""
