"""The board's metrics, declared once: name, type, labels, definition. Pure data; their values come from a snapshot.

A sensor that the board does not have has no series. `collector_success` and `collector_duration_seconds` always have.
"""

from __future__ import annotations

from edge_agent.device.throttle_flag import ThrottleFlag
from edge_agent.telemetry.metric_row import Label, MetricKind, MetricRow, closed_label

COUNTER, GAUGE = MetricKind.COUNTER, MetricKind.GAUGE
FLAG = closed_label("flag", ThrottleFlag)
CPU = Label("cpu")
GPU = Label("gpu")

DEVICE_ROWS = (
    MetricRow(
        "device_info",
        GAUGE,
        (Label("board"), Label("os"), Label("kernel"), Label("firmware")),
        "Always 1; its labels say which board this is and what runs on it.",
    ),
    MetricRow(
        "temperature_celsius",
        GAUGE,
        (Label("sensor"),),
        "Temperature of a thermal zone or a hwmon sensor.",
    ),
    MetricRow("throttle_active", GAUGE, (FLAG,), "1 while the firmware or the CPU says that this holds, else 0."),
    MetricRow(
        "throttle_events_total",
        COUNTER,
        (FLAG,),
        "How often it began since the agent's start; beginnings between two looks count when the board remembers them.",
    ),
    MetricRow("throttle_seconds_total", COUNTER, (FLAG,), "How long it has held since the agent's start."),
    MetricRow("cpu_frequency_hertz", GAUGE, (CPU,), "Clock of a CPU now."),
    MetricRow("cpu_frequency_max_hertz", GAUGE, (CPU,), "Highest clock that the CPU may take now."),
    MetricRow("cooling_state", GAUGE, (Label("device"),), "What a cooling device does now: 0 nothing."),
    MetricRow("cooling_state_max", GAUGE, (Label("device"),), "The most that a cooling device can do."),
    MetricRow("fan_speed_rpm", GAUGE, (Label("fan"),), "Revolutions of a fan in a minute."),
    MetricRow("cpu_seconds_total", COUNTER, (Label("mode"),), "Time that all CPUs spent in a mode, since boot."),
    MetricRow("memory_total_bytes", GAUGE, (), "The machine's memory."),
    MetricRow("memory_available_bytes", GAUGE, (), "Memory that programs could take without swapping."),
    MetricRow("swap_used_bytes", GAUGE, (), "Swap space in use."),
    MetricRow(
        "pressure_stalled_seconds_total",
        COUNTER,
        (Label("resource", ("cpu", "memory", "io")), Label("kind", ("some", "full"))),
        "Time in which some or all work waited for a resource.",
    ),
    MetricRow(
        "filesystem_size_bytes",
        GAUGE,
        (Label("mountpoint"),),
        "Size of the file systems that hold state and models.",
    ),
    MetricRow(
        "filesystem_available_bytes",
        GAUGE,
        (Label("mountpoint"),),
        "Room that an unprivileged user has on the file systems that hold state and models.",
    ),
    MetricRow("disk_written_bytes_total", COUNTER, (Label("disk"),), "Bytes written to a disk since boot."),
    MetricRow("network_received_bytes_total", COUNTER, (Label("interface"),), "Bytes received by a network interface."),
    MetricRow("network_sent_bytes_total", COUNTER, (Label("interface"),), "Bytes sent by a network interface."),
    MetricRow("boot_timestamp_seconds", GAUGE, (), "When the machine was booted."),
    MetricRow(
        "gpu_info",
        GAUGE,
        (GPU, Label("uuid"), Label("name"), Label("driver")),
        "Always 1; its labels say which GPU this is.",
    ),
    MetricRow("gpu_utilization_ratio", GAUGE, (GPU,), "Part of the last moment in which the GPU computed."),
    MetricRow("gpu_memory_used_bytes", GAUGE, (GPU,), "GPU memory in use."),
    MetricRow("gpu_memory_total_bytes", GAUGE, (GPU,), "The GPU's memory."),
    MetricRow("gpu_temperature_celsius", GAUGE, (GPU,), "Temperature of the GPU."),
    MetricRow("gpu_power_watts", GAUGE, (GPU,), "Power that the GPU draws."),
    MetricRow("gpu_clock_hertz", GAUGE, (GPU, Label("clock", ("graphics", "memory"))), "A clock of the GPU."),
    MetricRow(
        "gpu_throttle_active",
        GAUGE,
        (
            GPU,
            Label("reason", ("power_cap", "hw_slowdown", "sw_thermal", "hw_thermal", "power_brake")),
        ),
        "1 while the GPU's clock is held back for this reason, else 0.",
    ),
    MetricRow("collector_success", GAUGE, (Label("collector"),), "1 when the collector's last round had no error."),
    MetricRow("collector_duration_seconds", GAUGE, (Label("collector"),), "How long the collector's last round took."),
)
