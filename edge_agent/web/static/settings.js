// What the reader set for all answers: system prompt, temperature, longest answer. Remembered by the browser.
// A value out of range is said to be so, and the last good one stays in force.

import { readStored, writeStored } from "./stored.js";

const KEY = "edge-agent.settings";
// 1,024 tokens: some minutes of answer on a small board, which is when a model that rambles should stop.
const DEFAULTS = { systemPrompt: "", temperature: null, maxTokens: 1024 };

export class Settings {
  #words;
  #values;

  constructor(words) {
    this.#words = words;
    this.#values = checked(readStored("localStorage", KEY) ?? {});
    this.#bindText("system-prompt", "systemPrompt");
    this.#bindNumber("temperature-setting", "temperature");
    this.#bindNumber("max-tokens", "maxTokens");
  }

  get values() {
    return this.#values;
  }

  #bindText(id, name) {
    const field = document.getElementById(id);
    field.value = this.#values[name];
    field.addEventListener("input", () => this.#set(name, field.value.trim()));
  }

  #bindNumber(id, name) {
    const field = document.getElementById(id);
    const hint = document.getElementById(field.getAttribute("aria-describedby"));
    field.value = this.#values[name] ?? "";
    field.addEventListener("input", () => {
      const isGood = field.validity.valid;
      field.setAttribute("aria-invalid", String(!isGood));
      hint.textContent = this.#words.text(isGood ? hint.dataset.text : "settings.invalid");
      if (isGood) {
        this.#set(name, field.value === "" ? null : field.valueAsNumber);
      }
    });
  }

  #set(name, value) {
    this.#values = { ...this.#values, [name]: value };
    writeStored("localStorage", KEY, this.#values);
  }
}

// The stored settings, with the default for what is none.
function checked({ systemPrompt, temperature, maxTokens }) {
  return {
    systemPrompt: typeof systemPrompt === "string" ? systemPrompt.slice(0, 20_000) : DEFAULTS.systemPrompt,
    temperature: isWithin(temperature, 0, 2) ? temperature : DEFAULTS.temperature,
    maxTokens: maxTokens === null || isCount(maxTokens) ? maxTokens : DEFAULTS.maxTokens,
  };
}

function isCount(value) {
  return Number.isInteger(value) && isWithin(value, 1, 1_000_000);
}

function isWithin(value, least, most) {
  return typeof value === "number" && value >= least && value <= most;
}
