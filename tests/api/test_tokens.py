"""Text to tokens and back, in llama-server's shapes."""

from __future__ import annotations

from edge_agent.errors import EngineUnavailableError
from tests.api.fake_engine import FakeEngine
from tests.api.service import serving


async def test_tokenize_gives_ids_and_adds_nothing_by_default() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        assert await service.post("/tokenize", {"content": "Hi€"}) == (200, '{"tokens":[17,42]}')
    assert engine.tokenize_calls == [("Hi€", False, True)]


async def test_tokenize_understands_vllms_words() -> None:
    engine = FakeEngine()
    body = {"prompt": "Hi", "add_special_tokens": True, "parse_special": False}
    async with serving(engine) as service:
        assert (await service.post("/tokenize", body))[0] == 200
    assert engine.tokenize_calls == [("Hi", True, False)]


async def test_piece_that_is_not_text_is_given_as_bytes() -> None:
    async with serving(FakeEngine()) as service:
        assert await service.post("/tokenize", {"content": "Hi€", "with_pieces": True}) == (
            200,
            '{"tokens":[{"id":17,"piece":"Hi"},{"id":42,"piece":[226,130]}]}',
        )


async def test_tokenize_needs_text() -> None:
    async with serving(FakeEngine()) as service:
        status, text = await service.post("/tokenize", {})
    assert (status, '"param":"content"' in text) == (400, True)


async def test_detokenize_gives_text() -> None:
    async with serving(FakeEngine()) as service:
        assert await service.post("/detokenize", {"tokens": [1, 2]}) == (200, '{"content":"1 2"}')
        assert (await service.post("/detokenize", {"tokens": [-1]}))[0] == 400


async def test_tokens_need_an_engine() -> None:
    engine = FakeEngine()
    engine.refusal = EngineUnavailableError("The engine is being restarted.", retry_after_seconds=2)
    async with serving(engine) as service:
        assert (await service.post("/tokenize", {"content": "Hi"}))[0] == 503
