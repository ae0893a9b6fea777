"""What the agent weighs, and that it answers while the engine computes."""

import asyncio
from pathlib import Path

import aiohttp

from .product import Product, running_product


def test_the_agent_process_fits_in_70_megabytes(smollm2_path: Path) -> None:
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()
        for _ in range(3):
            product.chat(max_tokens=8)
            product.metrics()
        status = Path(f"/proc/{product.process.pid}/status").read_text(encoding="ascii")
    resident_kilobytes = int(status.split("VmRSS:")[1].split()[0])
    assert resident_kilobytes * 1024 <= 70_000_000


async def test_scrapes_and_health_are_answered_while_a_long_prompt_is_prefilled(product: Product) -> None:
    body = {"messages": [{"role": "user", "content": "stone " * 2000}], "max_tokens": 1}
    async with aiohttp.ClientSession(product.url) as session:
        answer = asyncio.create_task(_post(session, body))
        for path in ("/metrics", "/health", "/ready", "/metrics", "/health", "/ready"):
            async with session.get(path) as response:
                assert response.status == 200
                await response.read()
        # The prompt takes seconds, six small answers take milliseconds.
        assert not answer.done()
        assert await answer == 200


async def _post(session: aiohttp.ClientSession, body: dict[str, object]) -> int:
    async with session.post("/v1/chat/completions", json=body) as response:
        await response.read()
        return response.status
