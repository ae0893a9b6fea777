"""The dashboard about the devices themselves: heat, clocks, memory, storage, GPU, and how telemetry gets out."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.source import frame
from dashboards.source.gpu import GPU
from dashboards.source.panels import (
    Limit,
    Query,
    info_table,
    limited,
    range_stat,
    scarce,
    stacked,
    stat,
    state_timeline,
    time_series,
)
from dashboards.source.promql import ANY_MODEL, gauge, increase, rate, total
from dashboards.source.telemetry import TELEMETRY

# A Raspberry Pi's firmware lowers the clock from 80 °C on, and everything at 85 °C.
SOFT_LIMIT, HARD_LIMIT = Limit(80, "orange"), Limit(85, "red")
HELD_BACK, NOMINAL = 'thermal_state!="nominal"', 'thermal_state="nominal"'
MEMORY_OR_IO, SOME_CPU = 'resource=~"memory|io"', ('resource="cpu"', 'kind="some"')
SELECTED_RANGE = "[$__range]"


def board() -> Dashboard:
    """The whole of it."""
    return frame.framed(
        "Board",
        uid="edge-agent-board",
        description=f"Heat, throttling, load, storage and telemetry of edge-agent devices. {frame.INTERVAL_HINT}",
        variables=[frame.data_source(), frame.job(), frame.instance()],
        rows=[
            ("Now", NOW),
            ("Heat and throttling", HEAT),
            ("What heat costs", COST),
            ("CPU and memory", CPU_AND_MEMORY),
            ("Storage and network", STORAGE_AND_NETWORK),
            ("NVIDIA GPU (empty where there is none)", GPU),
            ("Telemetry", TELEMETRY),
        ],
    )


def decode_speed(matcher: str) -> str:
    """Tokens in a second of decoding, over the chosen time range."""
    tokens = total(increase("decode_step_tokens_total", ANY_MODEL, matcher, window=SELECTED_RANGE))
    return f"{tokens} / {total(increase('decode_seconds_total', ANY_MODEL, matcher, window=SELECTED_RANGE))}"


NOW = (
    stat(
        "Devices",
        Query(f"count({gauge('build_info')})", "devices"),
        description="Devices that told about themselves in the last five minutes. Fewer than you own: the alert "
        "EdgeAgentDown names the ones that are missing.",
        unit="short",
    ),
    stat(
        "Hottest sensor",
        Query(f"max({gauge('temperature_celsius')})", "hottest"),
        description="The highest temperature of all chosen devices. A Raspberry Pi is slowed down from 80 °C on.",
        unit="celsius",
        limits=(SOFT_LIMIT, HARD_LIMIT),
    ),
    stat(
        "Devices held back",
        Query(total(f"max by (instance) ({gauge('throttle_active')})"), "held back"),
        description="Devices that the firmware slows down now. Above 0: see Held back below for which, and why.",
        unit="short",
        limits=(Limit(1, "red"),),
    ),
    scarce(
        stat(
            "Least memory available",
            Query(f"min({gauge('memory_available_bytes')} / {gauge('memory_total_bytes')})", "available"),
            description="On the device that has least, as a share of its memory. Below 10 % the model's file is "
            "dropped and read again: take a smaller model or context.",
            unit="percentunit",
            limits=(Limit(0.05, "orange"), Limit(0.1, "green")),
        )
    ),
    scarce(
        stat(
            "Least room on a file system",
            Query(f"min({gauge('filesystem_available_bytes')} / {gauge('filesystem_size_bytes')})", "free"),
            description="On the file system that has least, as a share. Below 20 % the alert EdgeAgentDiskFull begins "
            "to watch. Near 0: delete models that are not served.",
            unit="percentunit",
            limits=(Limit(0.05, "orange"), Limit(0.2, "green")),
        )
    ),
    stat(
        "Failing collectors",
        Query(f"count({gauge('collector_success')} == 0) or vector(0)", "failing"),
        description="Groups of sensors with one that fails. Above 0: the device's log names the sensor.",
        unit="short",
        limits=(Limit(1, "orange"),),
    ),
    info_table(
        "Devices",
        # The latest: after a power cut an update has two versions for five minutes, and a join fails on the second.
        f"{gauge('device_info')} * on (job, instance) group_left (version)"
        f" topk by (job, instance) (1, timestamp({gauge('build_info')}))",
        description="Which boards these are and what runs on them. Different versions: a roll-out that did not reach "
        "all.",
        columns={
            "instance": "Instance",
            "board": "Board",
            "os": "System",
            "kernel": "Kernel",
            "firmware": "Firmware",
            "version": "edge-agent",
        },
    ),
)

HEAT = (
    state_timeline(
        "Held back",
        Query(f"max by (instance, flag) ({gauge('throttle_active')})", "{{instance}} {{flag}}"),
        description="When the firmware slowed a board down, and why. under_voltage: change power supply and cable. The "
        "others: heat; see Temperature. Empty for boards that cannot tell.",
    ),
    limited(
        time_series(
            "Temperature",
            Query(gauge("temperature_celsius"), "{{instance}} {{sensor}}"),
            description="The lines at 80 and 85 °C are a Raspberry Pi's limits; other boards have higher ones. Near "
            "them: clean or add a fan, give the case air, lower model.threads.",
            unit="celsius",
            width=12,
            lowest=None,
        ),
        SOFT_LIMIT,
        HARD_LIMIT,
    ),
    time_series(
        "CPU clock and its limit",
        Query(f"max by (instance) ({gauge('cpu_frequency_hertz')})", "{{instance}} now"),
        Query(f"max by (instance) ({gauge('cpu_frequency_max_hertz')})", "{{instance}} limit"),
        description="The fastest CPU of each device. Below its limit under load: the board is held back. Low without "
        "load is normal.",
        unit="hertz",
        width=12,
    ),
    time_series(
        "Share of time held back",
        Query(f"max by (instance, flag) ({rate('throttle_seconds_total')})", "{{instance}} {{flag}}"),
        description="By what, as a share of the time. Unlike Held back it also shows what came and went between two "
        "scrapes.",
        unit="percentunit",
    ),
    time_series(
        "Times held back",
        Query(f"max by (instance, flag) ({increase('throttle_events_total')})", "{{instance}} {{flag}}"),
        description="How often it began. Many short under-voltages under load: a weak power supply or a thin cable.",
        unit="short",
    ),
    time_series(
        "Fans",
        Query(gauge("fan_speed_rpm"), "{{instance}} {{fan}}"),
        description="0 on a hot board: the fan is stuck or not plugged in. Empty for fans that cannot tell.",
        unit="rotrpm",
    ),
    time_series(
        "Cooling devices",
        Query(
            f"{gauge('cooling_state')} / ({gauge('cooling_state_max')} > 0)",
            "{{instance}} {{device}}",
        ),
        description="How much of what they can do fans and clock limits do. A fan at 100 % and still rising "
        "temperature: it is not enough for this load.",
        unit="percentunit",
        width=24,
    ),
)

COST = (
    time_series(
        "Decode speed by thermal state, tokens/s",
        Query(
            f"{total(rate('decode_step_tokens_total', ANY_MODEL), 'instance', 'thermal_state')}"
            f" / {total(rate('decode_seconds_total', ANY_MODEL), 'instance', 'thermal_state')}",
            "{{instance}} {{thermal_state}}",
        ),
        description="Tokens in a second of steps that only decode, so whatever the mix of traffic. The gap between "
        "nominal and throttled is what better cooling would give back. It grows with answers at once.",
        unit="short",
        width=12,
    ),
    stacked(
        time_series(
            "Generated tokens/s by thermal state",
            Query(total(rate("generated_tokens_total", ANY_MODEL), "thermal_state"), "{{thermal_state}}"),
            description="How much of the work is done while boards are held back.",
            unit="short",
            width=12,
        )
    ),
    range_stat(
        "Tokens generated while held back",
        Query(
            f"{total(increase('generated_tokens_total', ANY_MODEL, HELD_BACK, window=SELECTED_RANGE))}"
            f" / {total(increase('generated_tokens_total', ANY_MODEL, window=SELECTED_RANGE))}",
            "held back",
        ),
        description="Share of the tokens of the chosen time range. Above some percent, cooling pays.",
        unit="percentunit",
        limits=(Limit(0.05, "orange"), Limit(0.25, "red")),
    ),
    range_stat(
        "Speed while held back",
        Query(
            f"({decode_speed(HELD_BACK)}) / ({decode_speed(NOMINAL)})",
            "of nominal",
        ),
        description="Decode speed while held back, as a share of the nominal one, in the chosen time range. Needs "
        "traffic in both states.",
        unit="percentunit",
    ),
)

CPU_AND_MEMORY = (
    stacked(
        time_series(
            "CPU time by mode",
            Query(
                f"{total(rate('cpu_seconds_total'), 'mode')} / on () group_left () {total(rate('cpu_seconds_total'))}",
                "{{mode}}",
            ),
            description="Of all chosen devices together. iowait under load: the model is read from storage, so memory "
            "is short.",
            unit="percentunit",
            highest=1,
        )
    ),
    time_series(
        "Memory available",
        Query(gauge("memory_available_bytes"), "{{instance}} available"),
        Query(gauge("memory_total_bytes"), "{{instance}} total"),
        description="What programs could still take. Near 0 the kernel ends the largest one: the engine. Take a "
        "smaller model, context or KV type.",
        unit="bytes",
    ),
    time_series(
        "Swap in use",
        Query(gauge("swap_used_bytes"), "{{instance}}"),
        description="Growing swap slows every token and wears the SD card: free memory.",
        unit="bytes",
    ),
    time_series(
        "Time stalled for memory or storage",
        Query(
            f"max by (instance, resource, kind) ({rate('pressure_stalled_seconds_total', MEMORY_OR_IO)})",
            "{{instance}} {{resource}} {{kind}}",
        ),
        description="Share of the time in which some or all work waited. memory: too little of it. io: slow storage. "
        "Empty where the kernel does not count (psi=1 on its command line).",
        unit="percentunit",
        width=12,
    ),
    time_series(
        "Time stalled for CPU",
        Query(
            f"max by (instance) ({rate('pressure_stalled_seconds_total', *SOME_CPU)})",
            "{{instance}}",
        ),
        description="Share of the time in which work waited for a CPU. High while serving: model.threads is more than "
        "the CPUs, or others run beside the engine.",
        unit="percentunit",
        width=12,
    ),
)

STORAGE_AND_NETWORK = (
    limited(
        time_series(
            "File systems filled",
            Query(
                f"1 - {gauge('filesystem_available_bytes')} / {gauge('filesystem_size_bytes')}",
                "{{instance}} {{mountpoint}}",
            ),
            description="Those of state and models. The line is where the alert EdgeAgentDiskFull begins to watch. "
            "Delete models that are not served.",
            unit="percentunit",
            highest=1,
        ),
        Limit(0.8, "orange"),
    ),
    time_series(
        "Written to disks",
        Query(rate("disk_written_bytes_total"), "{{instance}} {{disk}}"),
        description="What wears SD cards out: 1 MB/s is 30 TB in a year. Swap is the usual cause.",
        unit="Bps",
    ),
    time_series(
        "Network",
        Query(rate("network_received_bytes_total"), "{{instance}} {{interface}} received"),
        Query(rate("network_sent_bytes_total"), "{{instance}} {{interface}} sent"),
        description="Traffic of the device's network interfaces. Tokens need little: much of it is something else.",
        unit="Bps",
    ),
    time_series(
        "Uptime",
        Query(f"time() - {gauge('boot_timestamp_seconds')}", "{{instance}}"),
        description="Since boot. Back to 0 unasked: power loss or a crash of the kernel; see Times held back for "
        "under-voltage before it.",
        unit="s",
        width=24,
    ),
)
