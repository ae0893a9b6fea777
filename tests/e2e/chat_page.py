"""The chat page in a real browser, in the words of someone who uses it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, sync_playwright

# A first token may wait behind others' work on a slow machine.
PATIENCE_MS = 120_000

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
    console.error("violation of the policy: " + event.violatedDirective + " " + event.blockedURI));
"""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("chromium is not on PATH; install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"], headless=True
        )
        try:
            yield browser
        finally:
            browser.close()


class ChatPage:
    """One tab. `complaints` are the browser's: errors of scripts and violations of the page's policy."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(REPORT_VIOLATIONS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._console(message.type, message.text))

    def _console(self, kind: str, text: str) -> None:
        # A request that failed is the subject of some tests, and what the page says of it is what counts.
        if kind in {"error", "warning"} and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def open(self) -> None:
        self.page.goto(self.url)

    def ask(self, text: str) -> None:
        self.page.get_by_role("textbox", name="Message").fill(text)
        self.page.get_by_role("textbox", name="Message").press("Enter")

    def wait_for_end(self) -> None:
        """The answer is over, however it ended."""
        self.page.locator("#log[aria-busy=false]").wait_for()

    @property
    def answers(self) -> Locator:
        return self.page.locator("article.answer")

    @property
    def answer_text(self) -> str:
        """What the last answer says, without figures and buttons."""
        return self.answers.last.locator(".text").inner_text()

    @property
    def note(self) -> str:
        return self.answers.last.locator(".note").inner_text()

    def wait_for_text(self, selector: str, pattern: str) -> None:
        """Until the element says something that matches."""
        self.page.locator(selector, has_text=re.compile(pattern)).wait_for()

    def reply_with(self, *, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        """Stand in for the device: each request for an answer gets this."""
        kind = "text/event-stream" if status == 200 else "application/json"
        reply = {"Content-Type": kind, **(headers or {})}
        self.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=status, body=body, headers=reply))

    def never_end(self) -> None:
        """The model's answers go on until someone stops them."""
        self.page.route("**/v1/chat/completions", _without_end)


def _without_end(route: Route) -> None:
    body = json.loads(route.request.post_data or "{}")
    route.continue_(post_data=json.dumps({**body, "ignore_eos": True}))


def stream_of(*events: Any) -> str:
    """The body of a stream whose events are these."""
    return "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events)


def delta(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]}
