"""One product serves all tests that leave it as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .product import Product, running_product


@pytest.fixture(scope="package")
def product(smollm2_path: Path) -> Iterator[Product]:
    with running_product("--max-sequences", "4", model=smollm2_path) as product:
        product.wait_until_ready()
        yield product
