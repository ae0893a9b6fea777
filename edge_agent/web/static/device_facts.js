// The list of what is known about the device, from one /status document: names and values, in words.

const GIGA = 1e9;

// Pairs of name and value; what the device does not have is left out.
export function factsOf(status, words) {
  return [
    ["device.instance", status.device.instance || null],
    ["device.board", status.device.board],
    ["device.os", [status.device.os, status.device.kernel].filter(Boolean).join(", ") || null],
    ["device.model", modelText(status.model, words)],
    ["device.throttle", throttleText(status.device.throttle, words)],
    ["device.temperatures", temperaturesText(status.device.temperatures_celsius, words)],
    ["device.clock", clockText(status.device, words)],
    ["device.fan", fanText(status.device.fan_speed_rpm, words)],
    ["device.memory", memoryText(status.device.memory, words)],
    ["device.gpu", gpusText(status.device.gpus, words)],
    ...lastMinuteFacts(status.last_minute, words),
    ["device.restarts", restartsText(status.engine.restarts, words)],
    [
      "device.version",
      words.text("device.version_value", { version: status.version, time: timeText(status.uptime_seconds, words) }),
    ],
  ]
    .filter(([, value]) => value !== null)
    .map(([key, value]) => [words.text(key), value]);
}

export function showFacts(list, facts) {
  const pairs = facts.flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = name;
    description.textContent = value;
    return [term, description];
  });
  list.replaceChildren(...pairs);
}

function modelText(model, words) {
  if (model.architecture === null) {
    return model.alias;
  }
  return words.text("device.model_value", {
    architecture: model.architecture,
    quantization: model.quantization,
    parameters: parametersText(model.parameters, words),
    context: model.context_length,
  });
}

function parametersText(parameters, words) {
  return parameters >= GIGA ? `${words.number(parameters / GIGA, 1)} B` : `${words.number(parameters / 1e6, 0)} M`;
}

function throttleText(throttle, words) {
  const flags = Object.keys(throttle);
  if (flags.length === 0) {
    return null;
  }
  const held = flags.filter((flag) => throttle[flag]).map((flag) => known(`flag.${flag}`, flag, words));
  return held.join(", ") || words.text("device.throttle_none");
}

function temperaturesText(temperatures, words) {
  const texts = Object.entries(temperatures).map(
    ([sensor, value]) => `${sensor} ${words.text("celsius", { value: words.number(value, 1) })}`,
  );
  return texts.join(", ") || null;
}

// The fastest CPU stands for all.
function clockText({ cpu_frequency_hertz: now, cpu_frequency_max_hertz: most }, words) {
  const fastest = Math.max(0, ...Object.values(now));
  if (fastest === 0) {
    return null;
  }
  const limit = Math.max(fastest, ...Object.values(most));
  return words.text("device.clock_value", {
    now: words.number(fastest / GIGA, 2),
    max: words.number(limit / GIGA, 2),
  });
}

function fanText(fans, words) {
  const texts = Object.values(fans).map((rpm) => words.text("device.fan_value", { rpm }));
  return texts.join(", ") || null;
}

function memoryText({ total_bytes: total, available_bytes: available }, words) {
  if (total === null || available === null) {
    return null;
  }
  return words.text("device.memory_value", {
    available: words.number(available / GIGA, 1),
    total: words.number(total / GIGA, 1),
  });
}

function gpusText(gpus, words) {
  const texts = Object.entries(gpus).map(([number, gpu]) => {
    const facts = [
      gpu.name ?? number,
      gpu.temperature_celsius !== null && words.text("celsius", { value: words.number(gpu.temperature_celsius, 0) }),
      gpu.utilization_ratio !== null && `${words.number(gpu.utilization_ratio * 100, 0)} %`,
      gpu.power_watts !== null && `${words.number(gpu.power_watts, 1)} W`,
      ...Object.keys(gpu.throttle).filter((reason) => gpu.throttle[reason]),
    ];
    return facts.filter(Boolean).join(", ");
  });
  return texts.join("; ") || null;
}

function lastMinuteFacts(minute, words) {
  const p50 = minute.time_to_first_token_p50_seconds;
  const gap = minute.inter_token_latency_max_seconds;
  return [
    [
      "device.last_minute",
      words.text("device.last_minute_value", { tokens: minute.generated_tokens, finished: minute.requests_finished }),
    ],
    [
      "device.first_token",
      p50 === null
        ? null
        : words.text("device.first_token_value", {
            p50: words.number(p50, 2),
            max: words.number(minute.time_to_first_token_max_seconds, 2),
          }),
    ],
    ["device.gap", gap === null ? null : words.text("device.gap_value", { seconds: words.number(gap, 2) })],
  ];
}

function restartsText(restarts, words) {
  const counted = Object.entries(restarts).filter(([, count]) => count > 0);
  const texts = counted.map(([cause, count]) => `${known(`cause.${cause}`, cause, words)} ${count}`);
  return texts.join(", ") || words.text("device.restarts_none");
}

function timeText(seconds, words) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) {
    return words.text("time.minutes", { n: minutes });
  }
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? words.text("time.hours", { n: hours }) : words.text("time.days", { n: Math.floor(hours / 24) });
}

function known(key, name, words) {
  return words.has(key) ? words.text(key) : name;
}
