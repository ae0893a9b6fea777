"""The Board dashboard's row about NVIDIA GPUs. Pure data."""

from __future__ import annotations

from dashboards.source.panels import Query, info_table, state_timeline, time_series
from dashboards.source.promql import gauge

NO_GPU = "Empty for devices without an NVIDIA GPU."

GPU = (
    time_series(
        "GPU use",
        Query(gauge("gpu_utilization_ratio"), "{{instance}} {{gpu}}"),
        description=f"Share of the time in which it computed. Low under load: model.gpu_layers leaves work to the "
        f"CPU. {NO_GPU}",
        unit="percentunit",
    ),
    time_series(
        "GPU memory",
        Query(gauge("gpu_memory_used_bytes"), "{{instance}} {{gpu}} used"),
        Query(gauge("gpu_memory_total_bytes"), "{{instance}} {{gpu}} total"),
        description=f"Model and KV cache must fit. Full: fewer model.gpu_layers or a smaller context. {NO_GPU}",
        unit="bytes",
    ),
    time_series(
        "GPU temperature",
        Query(gauge("gpu_temperature_celsius"), "{{instance}} {{gpu}}"),
        description=f"Most cards slow down between 83 and 90 °C: give them air. {NO_GPU}",
        unit="celsius",
        lowest=None,
    ),
    time_series(
        "GPU power",
        Query(gauge("gpu_power_watts"), "{{instance}} {{gpu}}"),
        description=f"What the card draws. Flat at its limit under load is normal. {NO_GPU}",
        unit="watt",
    ),
    time_series(
        "GPU clocks",
        Query(gauge("gpu_clock_hertz"), "{{instance}} {{gpu}} {{clock}}"),
        description=f"They fall when the card is idle or held back; GPU held back tells which. {NO_GPU}",
        unit="hertz",
    ),
    state_timeline(
        "GPU held back",
        Query(f"max by (instance, gpu, reason) ({gauge('gpu_throttle_active')})", "{{instance}} {{gpu}} {{reason}}"),
        description="power_cap under load is normal. sw_thermal, hw_thermal: heat, give it air. power_brake and "
        f"hw_slowdown: check the power supply. {NO_GPU}",
        width=8,
    ),
    info_table(
        "GPUs",
        gauge("gpu_info"),
        description=f"Which cards these are. {NO_GPU}",
        columns={
            "instance": "Instance",
            "gpu": "GPU",
            "name": "Name",
            "driver": "Driver",
            "uuid": "UUID",
        },
    ),
)
