import pytest

from edge_agent.engine_client.retry_after import retry_after_load


@pytest.mark.parametrize(
    ("until_spawn", "elapsed", "progress", "last_load", "seconds"),
    [
        (0.0, 2.0, 0.0, None, 10),
        (0.0, 3.0, 0.25, None, 9),
        (2.5, 0.0, 0.0, 4.0, 7),
        (0.0, 1.5, 0.9, 4.0, 3),
        (0.0, 9.0, 0.9, 4.0, 1),
        (0.0, 400.0, 0.01, None, 60),
        (0.0, 3.0, float("nan"), None, 10),
        (0.0, 3.0, float("inf"), None, 1),
    ],
)
def test_the_wait_is_the_rest_of_the_back_off_and_of_the_load(
    until_spawn: float, elapsed: float, progress: float, last_load: float | None, seconds: int
) -> None:
    assert retry_after_load(until_spawn=until_spawn, elapsed=elapsed, progress=progress, last_load=last_load) == seconds
