"""Many requests, many of them given up at random moments: nothing is left behind."""

import asyncio
import random
from pathlib import Path

import aiohttp

from .product import Product, running_product


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def ask(session: aiohttp.ClientSession, product: Product, rng: random.Random) -> None:
    """One request of random length, given up at a random token, while waiting, or not at all."""
    words = " ".join(rng.choices(["river", "stone", "lamp", "winter"], k=rng.choice([3, 30, 300])))
    body = {
        "messages": [{"role": "user", "content": words}],
        "stream": rng.random() < 0.7,
        "max_tokens": rng.randint(1, 12),
        "ignore_eos": True,
    }
    patience = rng.choice([0.005, 0.05, 0.3, 1.0, None])
    timeout = aiohttp.ClientTimeout(total=patience)
    try:
        async with session.post(f"{product.url}/v1/chat/completions", json=body, timeout=timeout) as response:
            await response.read()
    except TimeoutError:
        return


async def storm(product: Product, *, num_requests: int, seed: int) -> None:
    rng = random.Random(seed)
    places = asyncio.Semaphore(6)

    async def one(session: aiohttp.ClientSession) -> None:
        async with places:
            await ask(session, product, rng)

    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(num_requests):
            group.create_task(one(session))


async def settle(product: Product) -> dict[str, float]:
    """The metrics once nobody is being answered and the engine ticked again."""
    for _ in range(300):
        metrics = await asyncio.to_thread(product.metrics)
        is_quiet = metrics["edge_agent_requests_running"] == metrics["edge_agent_requests_waiting"] == 0
        if is_quiet and metrics["edge_agent_kv_cells_used"] == 0:
            return metrics
        await asyncio.sleep(0.1)
    raise AssertionError("requests, or their cells, are still there after 30 seconds")


async def test_two_hundred_requests_with_random_cancellations_leave_nothing_behind(smollm2_path: Path) -> None:
    with running_product("--max-sequences", "4", model=smollm2_path) as product:
        product.wait_until_ready()
        await storm(product, num_requests=20, seed=1)  # connections, threads and caches that stay for good
        await settle(product)
        pids = (product.process.pid, product.engine_pid)
        before = [(open_descriptors(pid), threads(pid)) for pid in pids]

        await storm(product, num_requests=200, seed=2)
        metrics = await settle(product)

        after = [(open_descriptors(pid), threads(pid)) for pid in pids]
        answer = await asyncio.to_thread(product.chat, max_tokens=3)
    assert after == before
    assert answer.status == 200
    assert metrics["edge_agent_http_requests_in_flight"] == 1  # this scrape
    assert metrics['edge_agent_requests_total{endpoint="chat",outcome="server_error"}'] == 0
    ended = [metrics[f'edge_agent_requests_total{{endpoint="chat",outcome="{o}"}}'] for o in ("ok", "cancelled")]
    # Who gives up after five milliseconds may not have been heard at all.
    assert 180 < sum(ended) <= 220
    assert min(ended) > 10
