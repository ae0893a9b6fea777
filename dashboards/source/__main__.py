"""Rewrites the dashboards beside this folder."""

from dashboards.source.files import DASHBOARDS, FOLDER, as_json

for name, build in DASHBOARDS.items():
    (FOLDER / name).write_text(as_json(build()), encoding="utf-8")
