"""The dashboards' source: builds inference.json and board.json with Grafana's own schema (grafana-foundation-sdk).

`make dashboards` rewrites both. Development only: nothing of the service imports it.
"""
