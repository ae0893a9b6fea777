// The page's head: which model, how the engine is, and the board's heat, speed and queue, in words and colours.

const CAUTIOUS = new Set(["loading", "restarting", "stopped", "unknown"]);

export class Header {
  #words;
  #model = document.getElementById("model");
  #engine = document.getElementById("engine");
  #readings = document.getElementById("readings");

  constructor(words) {
    this.#words = words;
    this.#showEngine("unknown", words.text("state.unknown"));
  }

  show(status) {
    const words = this.#words;
    const { device, engine, last_minute: lastMinute, model, queue } = status;
    this.#model.textContent = model.alias;
    document.title = [model.alias, device.instance].filter(Boolean).join(" · ");
    this.#readings.classList.remove("stale");
    this.#showEngine(engine.state, engineText(engine, words));
    this.#showReading("thermal", thermalText(device, words), device.thermal_state === "nominal" ? "good" : "bad");
    const hottest = hottestCelsius(device);
    this.#showReading(
      "temperature",
      hottest === null ? null : words.text("celsius", { value: words.number(hottest, 0) }),
    );
    const speed = lastMinute.decode_tokens_per_second;
    this.#showReading("speed", speed === null ? null : words.text("rate", { value: words.number(speed, 1) }));
    this.#showReading("queue", queueText(queue, words), queue.waiting > 0 ? "busy" : "");
  }

  // The device has not answered; what it said last is old.
  showUnreachable() {
    this.#showEngine("unreachable", this.#words.text("state.unreachable"));
    this.#readings.classList.add("stale");
  }

  #showEngine(state, text) {
    this.#engine.dataset.state = state === "ready" ? "good" : CAUTIOUS.has(state) ? "cautious" : "bad";
    this.#engine.querySelector(".word").textContent = text;
  }

  #showReading(id, text, level = "") {
    const item = document.getElementById(id);
    item.hidden = text === null;
    item.dataset.level = level;
    const name = document.createElement("span");
    name.className = "unseen";
    name.textContent = `${this.#words.text(`reading.${id}`)}: `;
    item.replaceChildren(name, text ?? "");
    item.title = this.#words.text(`reading.${id}`);
  }
}

function engineText(engine, words) {
  if (engine.state === "loading" && engine.load_progress > 0) {
    return words.text("state.loading_part", { percent: Math.floor(engine.load_progress * 100) });
  }
  const key = `state.${engine.state}`;
  return words.has(key) ? words.text(key) : engine.state;
}

// Null where nothing on the board tells.
function thermalText({ thermal_state: state, throttle }, words) {
  if (state === "nominal" && Object.keys(throttle).length === 0) {
    return null;
  }
  const key = `thermal.${state}`;
  return words.has(key) ? words.text(key) : state;
}

function hottestCelsius(device) {
  const gpus = Object.values(device.gpus).map((gpu) => gpu.temperature_celsius);
  const known = [...Object.values(device.temperatures_celsius), ...gpus].filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

function queueText({ running, waiting }, words) {
  if (running === 0 && waiting === 0) {
    return words.text("queue.idle");
  }
  return words.text(waiting === 0 ? "queue.running" : "queue.waiting", { running, waiting });
}
