from __future__ import annotations

from edge_agent.config_contradictions import OWN_LABELS
from edge_agent.telemetry.target_labels import TargetLabels


def test_a_device_is_named_by_job_instance_and_its_owners_labels() -> None:
    assert TargetLabels("edge-1", {"site": "lab"}).as_dict() == {
        "job": "edge-agent",
        "instance": "edge-1",
        "site": "lab",
    }


def test_an_owners_label_can_hide_neither_job_nor_instance() -> None:
    assert TargetLabels("edge-1", {"job": "x", "instance": "y"}).as_dict() == {
        "job": "edge-agent",
        "instance": "edge-1",
    }
    assert {"job", "instance"} <= OWN_LABELS
