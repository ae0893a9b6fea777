"""The loaded model, as clients look it up."""

from __future__ import annotations

from tests.api.fake_engine import FakeEngine
from tests.api.service import serving

MODEL = (
    '{"id":"smollm2-135m-instruct","object":"model","created":1700000000,"owned_by":"edge-agent",'
    '"meta":{"n_vocab":49152,"n_ctx":2048,"n_ctx_train":2048,"n_params":134515008,"size":98000000}}'
)


async def test_models_are_the_loaded_one_with_its_facts() -> None:
    async with serving(FakeEngine()) as service:
        assert await service.get("/v1/models") == (200, '{"data":[' + MODEL + '],"object":"list"}')
        assert await service.get("/v1/models/smollm2-135m-instruct") == (200, MODEL)


async def test_model_that_is_still_loading_has_no_facts() -> None:
    engine = FakeEngine()
    engine.model = None
    async with serving(engine) as service:
        assert '"meta":null' in (await service.get("/v1/models"))[1]


async def test_other_model_is_not_found() -> None:
    async with serving(FakeEngine()) as service:
        status, text = await service.get("/v1/models/org/other")
    assert (status, '"code":"model_not_found"' in text) == (404, True)
