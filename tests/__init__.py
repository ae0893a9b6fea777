"""Tests mirror the package; e2e/ runs the whole product against real peers."""
