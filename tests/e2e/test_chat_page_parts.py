"""The chat page in a real browser against a device that the test plays: what no sound device or sound tab would do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from edge_agent.web.pages import CONTENT_TYPES, INDEX

from .chat_page import ChatPage, delta, running_browser, stream_of

pytestmark = pytest.mark.needs_chromium

STATIC = files("edge_agent.web") / "static"
DEVICE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def chat(browser: Browser) -> Iterator[ChatPage]:
    """A tab that has not been opened yet; at the end it may have had nothing to complain about."""
    context = browser.new_context(locale="en-US", viewport={"width": 1000, "height": 720})
    chat = ChatPage(context.new_page(), DEVICE)
    chat.page.set_default_timeout(30_000)
    chat.page.route("**/*", _play_the_device)
    yield chat
    # A request that hangs is not waited for.
    chat.page.unroute_all(behavior="ignoreErrors")
    context.close()
    assert chat.complaints == []


def _play_the_device(route: Route) -> None:
    """Gives the page's own files, and knows nothing else."""
    name = route.request.url.removeprefix(DEVICE).removeprefix("/static").removeprefix("/") or INDEX
    if name not in CONTENT_TYPES:
        route.fulfill(status=404, body="")
        return
    route.fulfill(body=(STATIC / name).read_bytes(), content_type=CONTENT_TYPES[name])


def _hang(_route: Route) -> None:
    """Takes the request and never answers."""


def remember(chat: ChatPage, storage: str, key: str, value: Any) -> None:
    chat.page.add_init_script(f"{storage}.setItem('edge-agent.{key}', {json.dumps(json.dumps(value))});")


# --- what a tab remembers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "remembered",
    [
        {"ending": "stop", "figures": {}, "failure": None},
        {"ending": "stop", "figures": {"tokens": None, "tokensPerSecond": "fast"}, "failure": None},
        {"ending": "failed", "figures": None, "failure": {"reason": "queue_full", "values": None}},
        {"ending": "failed", "figures": None, "failure": {"reason": 7, "values": 7}},
    ],
    ids=["no figures", "strange figures", "no values", "strange failure"],
)
def test_an_answer_that_another_version_of_the_page_stored_is_shown(chat: ChatPage, remembered: dict[str, Any]) -> None:
    remember(chat, "sessionStorage", "conversation", [{"role": "assistant", "text": "kept", **remembered}])
    chat.open()
    expect(chat.answers.locator(".text")).to_have_text("kept")
    expect(chat.answers.locator(".figures")).to_have_count(0)


def test_a_part_of_a_token_is_no_longest_answer(chat: ChatPage) -> None:
    remember(chat, "localStorage", "settings", {"systemPrompt": "", "temperature": 0.5, "maxTokens": 1.5})
    chat.open()
    expect(chat.page.locator("#max-tokens")).to_have_value("1024")
    expect(chat.page.locator("#temperature-setting")).to_have_value("0.5")


# --- an answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["data: " + "x" * 1000, "data:"], ids=["long", "empty"])
def test_an_event_without_end_is_given_up(chat: ChatPage, line: str) -> None:
    chat.open()
    ending = chat.page.evaluate(
        """async (line) => {
            const {EventParser} = await import("/static/sse.js");
            const parser = new EventParser();
            const lines = `${line}\\n`.repeat(100);
            for (let count = 0; count < 20_000; count += 1) {
                try {
                    parser.feed(lines);
                } catch (error) {
                    return error.name;
                }
            }
            return "not given up";
        }""",
        line,
    )
    assert ending == "RangeError"


def test_stop_stops_while_the_page_still_asks_why_the_engine_is_away(chat: ChatPage) -> None:
    chat.reply_with(status=503, body=json.dumps({"error": {"message": "m", "code": "engine_unavailable"}}))
    # Never answered, and the page never loses its patience: nothing but Stop can end it.
    chat.page.add_init_script("AbortSignal.timeout = () => new AbortController().signal;")
    chat.page.route("**/ready", _hang)
    chat.open()
    with chat.page.expect_request("**/ready"):
        chat.ask("Hello")
    chat.page.get_by_role("button", name="Stop").click()
    chat.wait_for_end()
    assert chat.note == "Stopped."


def test_arabic_runs_from_right_to_left_and_code_does_not(chat: ChatPage) -> None:
    arabic = "\u0645\u0631\u062d\u0628\u0627"
    body = stream_of(delta(f"{arabic}\n```\n{arabic}\n```\nplain"), delta("", "stop"), "[DONE]")
    chat.reply_with(status=200, body=body)
    chat.open()
    chat.ask(arabic)
    chat.wait_for_end()
    directions = "all => all.map(element => getComputedStyle(element).direction)"
    assert chat.page.locator(".question .text").evaluate_all(directions) == ["rtl"]
    assert chat.page.locator(".answer .text > *").evaluate_all(directions) == ["rtl", "ltr", "ltr"]


def test_copying_without_a_clipboard_leaves_the_keyboard_where_it_was(chat: ChatPage) -> None:
    # As on every page that came over plain http from another machine.
    chat.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined});")
    chat.reply_with(status=200, body=stream_of(delta("copper"), delta("", "stop"), "[DONE]"))
    chat.open()
    chat.ask("A metal?")
    chat.wait_for_end()
    chat.page.get_by_role("button", name="Copy").press("Enter")
    expect(chat.page.locator(".copy")).to_have_text("Copied")
    expect(chat.page.locator(".copy")).to_be_focused()


# --- the panel -----------------------------------------------------------------------------------------------------


def test_the_panel_is_closed_beside_it_and_not_at_its_margins(chat: ChatPage) -> None:
    chat.open()
    chat.page.get_by_role("button", name="Settings").click()
    panel = chat.page.locator("#panel")
    box = panel.bounding_box()
    assert box is not None
    chat.page.mouse.click(box["x"] + 4, box["y"] + 300)
    expect(panel).to_be_visible()
    # Text is selected in the field, and the button let go outside.
    field = chat.page.get_by_label("System prompt").bounding_box()
    assert field is not None
    chat.page.mouse.move(field["x"] + 20, field["y"] + 20)
    chat.page.mouse.down()
    chat.page.mouse.move(100, field["y"] + 20)
    chat.page.mouse.up()
    expect(panel).to_be_visible()
    chat.page.mouse.click(100, 300)
    expect(panel).to_be_hidden()
