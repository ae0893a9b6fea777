"""What a step of so many rows takes on this board, learned from the steps it did.

The curve has jumps (with f16 and flash attention 64 rows cost less than 48), so it is a table by number of rows and
no line. Pure: durations come in as arguments.
"""

from __future__ import annotations

# Sizes that steps are planned to: where kernels change their path, and between.
ROW_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
# Before anything is learned: on a Pi a 512-row step would take a minute, 32 rows take seconds.
FIRST_ROWS = 32
# New observations weigh this much: the cost follows the filling of the KV cache within a few steps.
LEARNING_RATE = 0.3


class StepCosts:
    """Seconds by number of rows."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn from a step of `num_rows` >= 1 rows."""
        size = max(size for size in ROW_SIZES if size <= num_rows)
        scaled = seconds * size / num_rows
        known = self._seconds.get(size)
        self._seconds[size] = scaled if known is None else known + LEARNING_RATE * (scaled - known)

    def rows_within(self, seconds: float, *, max_rows: int) -> int:
        """The largest number of rows that is expected to take no longer than `seconds`; at least 1.

        Nothing is planned beyond twice the largest step seen.
        """
        if not self._seconds:
            return min(FIRST_ROWS, max_rows)
        limit = min(max_rows, 2 * max(*self._seconds, FIRST_ROWS // 2))
        fitting = [size for size in ROW_SIZES if size <= limit and self.expected(size) <= seconds]
        if not fitting:
            return 1
        return fitting[-1]

    def expected(self, num_rows: int) -> float:
        """Expected seconds of a step. Rows beyond what was seen cost as much each as in the nearest smaller step."""
        smaller = [size for size in self._seconds if size <= num_rows]
        if not smaller:
            return min(self._seconds.values())
        # An old, dear entry (a full cache) must not outlive a cheap smaller one for ever: cost never grows faster
        # than the number of rows.
        return min(self._seconds[size] * num_rows / size for size in smaller)
