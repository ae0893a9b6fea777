// The conversation: what was said, what became of each answer, and what of it is sent to the model. Remembered by the
// tab across a reload. Knows no element of the page.

import { readStored, writeStored } from "./stored.js";

const KEY = "edge-agent.conversation";
// 200,000 characters: more than any context here holds. Older messages are forgotten first.
const MAX_STORED_CHARACTERS = 200_000;

const ENDINGS = new Set(["stop", "length", "context", "stopped", "failed"]);

// A message is {role: "user", text} or {role: "assistant", text, ending, figures, failure}. An answer's ending is
// "running" until it is over. figures are numbers to show, or null; failure is {reason, values} of a failed one.
export class Conversation {
  constructor(messages = []) {
    this.messages = messages;
  }

  static load() {
    const stored = readStored("sessionStorage", KEY);
    return new Conversation(Array.isArray(stored) ? stored.map(checked).filter((message) => message !== null) : []);
  }

  save() {
    let room = MAX_STORED_CHARACTERS;
    const kept = [];
    for (const message of this.messages.toReversed()) {
      room -= message.text.length;
      if (room < 0) {
        break;
      }
      // An answer that is still running when the page goes ends with it.
      kept.unshift(message.ending === "running" ? { ...message, ending: "stopped" } : message);
    }
    writeStored("sessionStorage", KEY, kept);
  }

  ask(text) {
    const message = { role: "user", text };
    this.messages.push(message);
    return message;
  }

  beginAnswer() {
    const message = { role: "assistant", text: "", ending: "running", figures: null, failure: null };
    this.messages.push(message);
    return message;
  }

  // Takes the last answer back, so that its question can be answered again.
  dropAnswer() {
    if (this.messages.at(-1)?.role === "assistant") {
      this.messages.pop();
    }
  }

  // The body of a request for the next answer. Questions that got no word are joined to the one that follows: many
  // templates demand that roles alternate.
  request({ systemPrompt, temperature, maxTokens }) {
    const messages = systemPrompt ? [{ role: "system", content: systemPrompt }] : [];
    for (const { role, text } of this.messages) {
      const last = messages.at(-1);
      if (text === "") {
        continue;
      }
      if (role === "user" && last?.role === "user") {
        last.content += `\n\n${text}`;
      } else {
        messages.push({ role, content: text });
      }
    }
    return {
      messages,
      stream: true,
      stream_options: { include_usage: true },
      ...(temperature === null ? {} : { temperature }),
      ...(maxTokens === null ? {} : { max_tokens: maxTokens }),
    };
  }
}

// A message as it was stored, or null for anything else.
function checked(stored) {
  if (stored === null || typeof stored !== "object" || typeof stored.text !== "string") {
    return null;
  }
  if (stored.role === "user") {
    return { role: "user", text: stored.text };
  }
  if (stored.role !== "assistant" || !ENDINGS.has(stored.ending)) {
    return null;
  }
  return {
    role: "assistant",
    text: stored.text,
    ending: stored.ending,
    figures: checkedFigures(asObject(stored.figures)),
    failure: checkedFailure(asObject(stored.failure)),
  };
}

// Of another version of this page, which the tab may remember, the numbers can be others: then none are shown.
function checkedFigures(figures) {
  const names = ["tokens", "tokensPerSecond", "firstTokenSeconds", "cachedTokens"];
  const isWhole =
    names.every((name) => Number.isFinite(figures?.[name])) &&
    (figures.promptTokens === null || Number.isFinite(figures.promptTokens));
  return isWhole ? figures : null;
}

function checkedFailure(failure) {
  return failure && { reason: String(failure.reason), values: asObject(failure.values) ?? {} };
}

function asObject(value) {
  return typeof value === "object" && !Array.isArray(value) ? value : null;
}
