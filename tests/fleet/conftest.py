"""A failed step of the story shows what an engineer would look at."""

from collections.abc import Generator

import pytest

from .story import Story


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    story = getattr(item, "funcargs", {}).get("story")
    if report.failed and report.when == "call" and isinstance(story, Story):
        report.sections.extend(story.evidence())
    return report
