"""Templates of strangers: good ones render, bad ones are refused in bounded time."""

import sys

import pytest

from edge_agent.engine.chat_template import CHATML, ChatTemplate, TemplateRefusedError
from edge_agent.protocol import ChatMessage

HELLO = [ChatMessage("system", "Be brief."), ChatMessage("user", "Hi")]


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos_text="<s>", eos_text="</s>")


def test_chatml_ends_with_the_assistants_turn() -> None:
    assert template(CHATML).render(HELLO) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_templates_may_use_what_hugging_face_gives_them() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}{% if loop.index0 % 2 %}{% continue %}{% endif %}"
        "{{ m | tojson }}{% endfor %}{{ strftime_now('%%') }}{{ eos_token }}"
    )
    assert template(source).render(HELLO) == '<s>{"role": "system", "content": "Be brief."}%</s>'


def test_a_template_may_refuse_the_conversation() -> None:
    with pytest.raises(TemplateRefusedError, match="roles must alternate"):
        template("{{ raise_exception('roles must alternate') }}").render(HELLO)


@pytest.mark.parametrize("source", ["{% if %}", "{{ messages", "{% for m in messages %}", "{{ 1 | nofilter }}"])
def test_a_template_that_is_no_jinja_is_refused_when_it_is_compiled(source: str) -> None:
    with pytest.raises(TemplateRefusedError, match="not valid"):
        template(source)


def test_an_enormous_template_is_refused_unread() -> None:
    with pytest.raises(TemplateRefusedError, match="too many"):
        template("x" * 300_000)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ (''|attr('__class__')).mro() }}",
        "{% set _ = messages.append(1) %}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(source: str) -> None:
    with pytest.raises(TemplateRefusedError):
        template(source).render(HELLO)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 10000000000 }}",
        "{{ 10000000000 * 'x' }}",
        "{{ 1000000 * 'x' }}",
        "{{ [1] * 10000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%10000000000d' % 1 }}",
        "{% for a in range(100000000000) %}x{% endfor %}",
    ],
)
def test_what_grows_in_one_operation_is_refused(source: str) -> None:
    with pytest.raises(TemplateRefusedError):
        template(source).render(HELLO)


def test_too_long_a_prompt_is_cut_off_while_it_grows() -> None:
    source = "{% for a in range(90000) %}" + "x" * 1000 + "{% endfor %}"
    with pytest.raises(TemplateRefusedError, match="too long a prompt"):
        template(source).render(HELLO)


def test_a_loop_bomb_ends_at_the_deadline() -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.01
        return now

    loops = "".join(f"{{% for v{i} in range(90000) %}}" for i in range(6)) + "{% endfor %}" * 6
    bomb = ChatTemplate(loops, bos_text="", eos_text="", clock=clock)
    with pytest.raises(TemplateRefusedError, match="did not finish within 5 seconds"):
        bomb.render(HELLO)


def test_the_deadline_leaves_no_trace_function_behind() -> None:
    before = sys.gettrace()
    template(CHATML).render(HELLO)
    assert sys.gettrace() is before


def test_the_assistants_turn_is_left_out_on_request() -> None:
    assert template(CHATML).render(HELLO[:1], add_generation_prompt=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
    )


@pytest.mark.parametrize(
    ("messages", "opening"),
    [
        (HELLO[:1], "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"),
        (HELLO[1:], "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
def test_an_opening_is_all_that_any_next_message_follows(messages: list[ChatMessage], opening: str) -> None:
    assert template(CHATML).opening(messages) == opening


def test_an_opening_has_the_system_message_where_a_template_folds_it_into_the_first_question() -> None:
    # As Gemma's does.
    source = (
        "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
        "{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
        "{% for m in rest %}<turn>{{ m.role }}\n{{ first if loop.first else '' }}{{ m.content | trim }}<end>\n"
        "{% endfor %}"
    )
    assert template(source).render(HELLO[:1], add_generation_prompt=False) == "<s>"
    assert template(source).opening(HELLO[:1]) == "<s><turn>user\nBe brief.\n\n"


@pytest.mark.parametrize("source", ["{{ bos_token }}{{ messages[-1].content }}", "{{ messages[-1].content }}"])
def test_a_template_without_a_common_opening_is_refused_with_the_remedy(source: str) -> None:
    with pytest.raises(TemplateRefusedError, match="send the text that they have in common as 'prompt'"):
        template(source).opening(HELLO[:1])
