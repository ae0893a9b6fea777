"""The chat page against the real product: what a person sees who asks, waits, stops, and meets trouble."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, StorageState, expect

from .chat_page import ChatPage, delta, running_browser, stream_of
from .product import Product, running_product

pytestmark = pytest.mark.needs_chromium

OpenPage = Callable[..., ChatPage]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages; at the end none of them may have had anything to complain about."""
    opened: list[ChatPage] = []

    def new_page(
        url: str,
        *,
        width: int = 1000,
        locale: str = "en-US",
        max_tokens: int | None = 24,
        prepare: Callable[[ChatPage], None] | None = None,
    ) -> ChatPage:
        context = browser.new_context(
            locale=locale,
            viewport={"width": width, "height": 720},
            storage_state=remembered_settings(url, {"systemPrompt": "", "temperature": 0, "maxTokens": max_tokens}),
        )
        chat = ChatPage(context.new_page(), url)
        opened.append(chat)
        if prepare is not None:
            prepare(chat)
        chat.open()
        return chat

    yield new_page
    for chat in opened:
        chat.page.context.close()
    assert [complaint for chat in opened for complaint in chat.complaints] == []


def remembered_settings(url: str, settings: dict[str, Any]) -> StorageState:
    value = json.dumps(settings)
    return {"origins": [{"origin": url, "localStorage": [{"name": "edge-agent.settings", "value": value}]}]}


# --- answers -------------------------------------------------------------------------------------------------------


def test_an_answer_streams_in_and_its_figures_stand_under_it(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url)
    chat.page.evaluate(
        """() => {
            window.lengths = new Set();
            const note = () => window.lengths.add(document.querySelector(".answer .text")?.textContent.length ?? 0);
            new MutationObserver(note).observe(document.getElementById("log"),
                {subtree: true, childList: true, characterData: true});
        }"""
    )
    chat.ask("Tell me about rivers.")
    chat.wait_for_end()
    lengths = chat.page.evaluate("[...window.lengths]")
    assert len(lengths) > 3
    assert lengths == sorted(lengths)
    assert len(chat.answer_text) > 20
    expect(chat.page.locator("article.question")).to_contain_text("Tell me about rivers.")
    figures = chat.answers.locator(".figures").inner_text()
    assert re.fullmatch(
        r"\d+ tokens · [\d.]+ tok/s · first token after [\d.]+ s · prompt \d+ tokens(, \d+ cached)?", figures
    )


def test_the_next_question_continues_the_conversation_and_a_reload_keeps_it(
    product: Product, open_page: OpenPage
) -> None:
    chat = open_page(product.url)
    chat.ask("What is copper?")
    chat.wait_for_end()
    with chat.page.expect_request("**/v1/chat/completions") as asked:
        chat.ask("And tin?")
    chat.wait_for_end()
    first_answer = chat.answers.first.locator(".text").inner_text()
    roles = [message["role"] for message in json.loads(asked.value.post_data or "")["messages"]]
    assert roles == ["user", "assistant", "user"]
    chat.page.get_by_role("textbox", name="Message").fill("half a thought")
    chat.page.reload()
    assert chat.answers.count() == 2
    assert chat.answers.first.locator(".text").inner_text() == first_answer
    assert chat.page.get_by_role("textbox", name="Message").input_value() == "half a thought"
    chat.page.get_by_role("button", name="New conversation").click()
    assert chat.page.locator("article").count() == 0


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_stop_frees_the_sequence(product: Product, open_page: OpenPage, way: str) -> None:
    chat = open_page(product.url, max_tokens=None, prepare=ChatPage.never_end)
    before = product.metrics()['edge_agent_requests_finished_total{finish_reason="cancelled"}']
    chat.ask("Tell me a long story.")
    chat.wait_for_text(".answer .text", r"\w+ \w+ \w+")
    if way == "button":
        chat.page.get_by_role("button", name="Stop").click()
    else:
        chat.page.keyboard.press("Escape")
    chat.wait_for_end()
    assert chat.note == "Stopped."
    assert re.match(r"about \d+ tokens · [\d.]+ tok/s · ", chat.answers.locator(".figures").inner_text())
    assert len(chat.answer_text.split()) >= 3
    chat.wait_for_text("#queue", "idle")
    metrics = product.metrics()
    assert metrics["edge_agent_requests_running"] == 0
    assert metrics['edge_agent_requests_finished_total{finish_reason="cancelled"}'] == before + 1


def test_an_answer_that_was_cut_says_where(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url, max_tokens=None, prepare=ChatPage.never_end)
    chat.page.get_by_role("button", name="Settings").click()
    chat.page.get_by_label("Longest answer, in tokens").fill("5")
    chat.page.get_by_role("button", name="Close").click()
    chat.ask("Tell me a long story.")
    chat.wait_for_end()
    assert chat.note == "Cut off at 5 tokens, the longest answer that Settings allow."
    chat.page.get_by_role("button", name="Answer again").click()
    chat.wait_for_text("#log[aria-busy=false] .figures", "^5 tokens · ")
    assert chat.answers.count() == 1


def test_settings_are_sent_and_remembered_and_bad_ones_are_not(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url)
    chat.page.get_by_role("button", name="Settings").click()
    chat.page.get_by_label("System prompt").fill("Answer like a pirate.")
    chat.page.get_by_label("Temperature").fill("0.5")
    chat.page.get_by_label("Temperature").fill("7")
    assert "Not in the range" in chat.page.locator("#temperature-hint").inner_text()
    chat.page.get_by_label("Longest answer, in tokens").fill("4")
    chat.page.reload()
    with chat.page.expect_request("**/v1/chat/completions") as asked:
        chat.ask("Hello")
    chat.wait_for_end()
    assert json.loads(asked.value.post_data or "") == {
        "messages": [{"role": "system", "content": "Answer like a pirate."}, {"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 4,
    }


def test_only_enter_sends_and_not_while_an_input_method_composes(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url)
    field = chat.page.get_by_role("textbox", name="Message")
    field.fill("one")
    field.press("Shift+Enter")
    field.press_sequentially("two")
    composing = {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True}
    field.dispatch_event("keydown", composing)
    assert (field.input_value(), chat.page.locator("article").count()) == ("one\ntwo", 0)
    field.press("Enter")
    assert chat.page.locator("article.question .text").inner_text() == "one\ntwo"
    chat.page.get_by_role("button", name="Stop").click()
    chat.wait_for_end()


# --- hostile answers -----------------------------------------------------------------------------------------------

HOSTILE = (
    "<img src=x onerror=\"window.hacked = 'img'\"><script>window.hacked = 'script'</script>\n"
    "```html\n<svg onload=\"window.hacked = 'svg'\"></svg>\n```\n[a](javascript:alert(1))"
)


def test_markup_in_an_answer_is_text(product: Product, open_page: OpenPage) -> None:
    body = stream_of(*(delta(character) for character in HOSTILE), delta("", "stop"), "[DONE]")
    chat = open_page(product.url, prepare=lambda chat: chat.reply_with(status=200, body=body))
    chat.ask("<b>bold?</b>")
    chat.wait_for_end()
    for _ in ("as it came", "as it was kept"):
        assert chat.page.locator("article.question .text").inner_text() == "<b>bold?</b>"
        shown = chat.page.locator(".answer .text > *").evaluate_all("all => all.map(e => [e.tagName, e.textContent])")
        assert shown == [
            ["P", "<img src=x onerror=\"window.hacked = 'img'\"><script>window.hacked = 'script'</script>"],
            ["PRE", "<svg onload=\"window.hacked = 'svg'\"></svg>"],
            ["P", "[a](javascript:alert(1))"],
        ]
        assert chat.page.locator("#log :is(img, script, svg, a, b)").count() == 0
        assert chat.page.evaluate("window.hacked ?? null") is None
        chat.page.reload()


def test_a_phone_never_scrolls_sideways(product: Product, open_page: OpenPage) -> None:
    text = "a" * 400 + "\n```\n" + "b " * 400 + "\n```\n"
    body = stream_of(delta(text), delta("", "stop"), "[DONE]")
    chat = open_page(product.url, width=360, prepare=lambda chat: chat.reply_with(status=200, body=body))
    chat.ask("c" * 400)
    chat.wait_for_end()
    widths = "[document.documentElement.scrollWidth, document.getElementById('scroller').scrollWidth]"
    assert chat.page.evaluate(widths) == [360, 360]
    chat.page.get_by_role("button", name="Settings").click()
    assert chat.page.evaluate("document.getElementById('panel').scrollWidth") <= 360


def test_what_a_tab_remembers_is_not_trusted(product: Product, open_page: OpenPage) -> None:
    def poison(chat: ChatPage) -> None:
        stored = [1, None, {"role": "assistant", "text": "kept", "ending": "failed", "failure": {"reason": "x"}}, {}]
        values = {"conversation": stored, "settings": {"temperature": "hot", "systemPrompt": 3, "maxTokens": -1}}
        chat.page.add_init_script(
            f"for (const [name, value] of Object.entries({json.dumps(values)})) for (const storage of"
            " [localStorage, sessionStorage]) storage.setItem('edge-agent.' + name, JSON.stringify(value));"
        )

    chat = open_page(product.url, prepare=poison)
    assert [chat.page.locator("article").count(), chat.answer_text] == [1, "kept"]
    assert chat.page.locator("#temperature-setting").input_value() == ""
    assert chat.page.locator("#max-tokens").input_value() == "1024"


# --- trouble -------------------------------------------------------------------------------------------------------


def error_body(code: str | None, **numbers: Any) -> str:
    return json.dumps({"error": {"message": "The message.", "type": "x", "param": None, "code": code, **numbers}})


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        (
            429,
            error_body("queue_full"),
            {"Retry-After": "3"},
            "The queue is full: too many others are asking. Try again in 3 s.",
        ),
        (
            400,
            error_body("context_length_exceeded", n_prompt_tokens=5000, n_ctx=2048),
            {},
            "The conversation has 5,000 tokens, and the model's context holds 2,048.",
        ),
        (413, error_body("body_too_large"), {}, "The conversation is larger than the device accepts."),
        (400, error_body(None), {}, "The device refused the request: The message."),
        (500, error_body("internal_error"), {}, "Something went wrong on the device: The message."),
        (502, "<html>Bad gateway</html>", {}, "Something went wrong on the device: HTTP 502"),
        (200, stream_of(delta("Half")), {}, "The connection broke before the answer was complete."),
        (200, "data: {nonsense\n\n", {}, "The connection broke before the answer was complete."),
        (200, stream_of(delta("Half"), json.loads(error_body("engine_lost"))), {}, "What had come is kept."),
    ],
    ids=["queue full", "context full", "too large", "refused", "failed", "no JSON", "cut off", "no events", "lost"],
)
def test_trouble_is_told_in_words_with_a_way_on(
    product: Product, open_page: OpenPage, status: int, body: str, headers: dict[str, str], words: str
) -> None:
    chat = open_page(product.url, prepare=lambda chat: chat.reply_with(status=status, body=body, headers=headers))
    chat.ask("Keep my words")
    chat.wait_for_end()
    assert words in chat.note
    assert chat.page.locator("article.question .text").inner_text() == "Keep my words"
    chat.page.unroute("**/v1/chat/completions")
    chat.page.get_by_role("button", name="Try again").click()
    chat.wait_for_text("#log[aria-busy=false] .figures", "tok/s")
    assert chat.page.locator("article").count() == 2


def test_a_lost_network_is_told_apart_and_the_head_says_so_too(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url)
    chat.wait_for_text("#engine", "^ready$")
    chat.page.context.set_offline(True)
    chat.ask("Anybody there?")
    chat.wait_for_end()
    assert chat.note.startswith("The device does not answer. Check that it is switched on")
    chat.wait_for_text("#engine", "device not reachable")
    chat.page.context.set_offline(False)
    chat.wait_for_text("#engine", "^ready$")


def test_an_engine_that_is_killed_is_told_and_the_next_try_succeeds(smollm2_path: Path, open_page: OpenPage) -> None:
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()
        chat = open_page(product.url, max_tokens=None, prepare=ChatPage.never_end)
        chat.ask("Tell me a long story.")
        chat.wait_for_text(".answer .text", r"\w+ \w+ \w+")
        lines_before = len(product.log)
        os.kill(product.engine_pid, signal.SIGKILL)
        chat.wait_for_end()
        assert chat.note.startswith("The engine ended while it was answering, and is being started again.")
        assert len(chat.answer_text.split()) >= 3
        product.wait_for_log("engine is ready", after=lines_before)
        chat.page.unroute("**/v1/chat/completions")
        chat.page.get_by_role("button", name="Try again").click()
        chat.wait_for_text("#log[aria-busy=false] .figures", "tok/s")
        chat.page.get_by_role("button", name="Settings").click()
        chat.wait_for_text("#device-facts", "crash 1")


def test_a_model_that_cannot_be_loaded_is_told_by_head_and_answer(tmp_path: Path, open_page: OpenPage) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(64))
    with running_product(model=bad) as product:
        product.wait_for_log("the model file cannot be used")
        chat = open_page(product.url)
        chat.wait_for_text("#engine", "the model could not be loaded")
        chat.ask("Hello")
        chat.wait_for_end()
        assert chat.note == "The model could not be loaded. The log of edge-agent on the device says why."


# --- the head ------------------------------------------------------------------------------------------------------


def make_board(root: Path, *, millidegrees: int, throttle_word: str) -> None:
    """A Raspberry Pi as far as the head shows it."""
    files = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": str(millidegrees),
        "sys/devices/platform/soc/soc:firmware/get_throttled": throttle_word,
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n", encoding="ascii")


def test_the_head_says_how_the_board_is(smollm2_path: Path, tmp_path: Path, open_page: OpenPage) -> None:
    make_board(tmp_path, millidegrees=84700, throttle_word="4")
    environ = {"EDGE_AGENT_DEVICE__ROOT": str(tmp_path), "EDGE_AGENT_DEVICE__INSTANCE": "greenhouse-3"}
    with running_product(model=smollm2_path, environ=environ) as product:
        chat = open_page(product.url)
        chat.wait_for_text("#engine", "^ready$")
        chat.wait_for_text("#thermal", "^Thermal state: throttled$")
        chat.wait_for_text("#temperature", "^Hottest sensor: 85 °C$")
        chat.wait_for_text("#queue", "^Requests: idle$")
        assert chat.page.locator("#model").inner_text() == "SmolLM2-135M-Instruct.Q4_1"
        assert chat.page.title() == "SmolLM2-135M-Instruct.Q4_1 · greenhouse-3"
        make_board(tmp_path, millidegrees=52200, throttle_word="40000")
        chat.wait_for_text("#thermal", "^Thermal state: not throttled$")
        chat.wait_for_text("#temperature", "^Hottest sensor: 52 °C$")


# --- languages and parts -------------------------------------------------------------------------------------------


def test_a_chinese_browser_gets_chinese_words(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url, locale="zh-CN")
    assert chat.page.locator("html").get_attribute("lang") == "zh-CN"
    assert chat.page.get_by_role("button", name="发送").is_visible()
    chat.wait_for_text("#engine", "^就绪$")


def test_both_languages_have_the_same_words_with_the_same_values(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url)
    strings = chat.page.evaluate("import('/static/strings.js').then((module) => module.STRINGS)")
    english, chinese = strings["en"], strings["zh"]
    # Chinese has no singular.
    assert {key for key in english if not key.endswith("_one")} == set(chinese)
    for key, text in english.items():
        other = chinese[key.removesuffix("_one")]
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", other)), key


def test_events_are_read_wherever_the_network_cuts_them(product: Product, open_page: OpenPage) -> None:
    chat = open_page(product.url)
    body = (
        ': keep-alive\n\ndata: one\r\n\r\nid: 7\ndata:two\r\ndata: "\u4e8c"\n\nevent: x\n\ndata: [DONE]\r\r\ndata: open'
    )
    read = chat.page.evaluate(
        """async (body) => {
            const {EventParser} = await import("/static/sse.js");
            const read = [];
            for (const size of [1, 2, 3, 7, 1000]) {
                const parser = new EventParser();
                const events = [];
                for (let at = 0; at < body.length; at += size) {
                    events.push(...parser.feed(body.slice(at, at + size)));
                }
                read.push(events);
            }
            return read;
        }""",
        body,
    )
    assert read == [["one", 'two\n"\u4e8c"', "[DONE]"]] * 5
