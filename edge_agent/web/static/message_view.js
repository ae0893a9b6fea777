// One message on the page: a question, or an answer that grows, with figures, notes and buttons under it.
// What an answer is, the conversation knows; what its buttons do, whoever made the view.

import { FencedText } from "./fences.js";

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}

function article(kind, name) {
  const made = element("article", `message ${kind}`);
  made.append(element("h3", "unseen", name));
  return made;
}

export class QuestionView {
  constructor(message, words) {
    this.element = article("question", words.text("message.you"));
    const text = element("p", "text", message.text);
    // Arabic and Hebrew run from right to left.
    text.dir = "auto";
    this.element.append(text);
  }
}

export class AnswerView {
  #message;
  #words;
  #text;
  #fenced;
  #foot;
  #frame = 0;

  // onAgain is called when the reader asks for another answer to the same question.
  constructor(message, words, { onAgain }) {
    this.#message = message;
    this.#words = words;
    this.element = article("answer", words.text("message.answer"));
    this.#text = element("div", "text");
    this.#fenced = new FencedText(this.#text);
    this.#foot = element("div", "foot");
    this.element.append(this.#text, this.#foot);
    this.onAgain = onAgain;
    this.show();
  }

  // Shows what has come at the next frame, however many tokens come until then.
  showSoon(onShown) {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.show();
      onShown();
    });
  }

  show() {
    const { text, ending } = this.#message;
    this.#fenced.show(text);
    this.element.dataset.ending = ending;
    this.#foot.replaceChildren(...(ending === "running" ? this.#waiting() : this.#ended()));
  }

  #waiting() {
    return this.#message.text === "" ? [element("p", "waiting", this.#words.text("answer.waiting"))] : [];
  }

  #ended() {
    const { ending, failure, figures } = this.#message;
    const parts = [];
    const note = noteOf(this.#message, this.#words);
    if (note) {
      parts.push(element("p", ending === "failed" ? "note failed" : "note", note));
    }
    if (figures) {
      parts.push(element("p", "figures", figuresText(figures, this.#words)));
    }
    const buttons = element("div", "buttons");
    if (this.#message.text) {
      buttons.append(this.#copyButton());
    }
    buttons.append(this.#button(failure ? "answer.retry" : "answer.again", "again", () => this.onAgain()));
    return [...parts, buttons];
  }

  #button(key, className, onClick) {
    const button = element("button", `quiet ${className}`, this.#words.text(key));
    button.type = "button";
    button.addEventListener("click", onClick);
    return button;
  }

  #copyButton() {
    const button = this.#button("answer.copy", "copy", async () => {
      const isCopied = await copy(this.#message.text);
      button.textContent = this.#words.text(isCopied ? "answer.copied" : "answer.not_copied");
      setTimeout(() => (button.textContent = this.#words.text("answer.copy")), 2000);
    });
    return button;
  }
}

// Why the answer is not a whole one, in words; null when it is.
export function noteOf({ ending, failure, figures, text }, words) {
  switch (ending) {
    case "failed":
      return failureText(failure ?? { reason: "cut_off" }, words) + (text ? ` ${words.text("failure.kept")}` : "");
    case "length":
      return words.text("ending.length", { n: figures?.tokens ?? 0 });
    case "context":
    case "stopped":
      return words.text(`ending.${ending}`);
    default:
      return text ? null : words.text("ending.empty");
  }
}

function failureText({ reason, values = {} }, words) {
  const key = `failure.${reason}`;
  return words.text(words.has(key) ? key : "failure.cut_off", values);
}

function figuresText(figures, words) {
  const parts = [words.text(figures.isCounted ? "figures.tokens" : "figures.about_tokens", { n: figures.tokens })];
  if (figures.tokensPerSecond > 0) {
    parts.push(words.text("rate", { value: words.number(figures.tokensPerSecond, 1) }));
  }
  if (figures.firstTokenSeconds !== null) {
    parts.push(words.text("figures.first_token", { seconds: words.number(figures.firstTokenSeconds, 2) }));
  }
  if (figures.promptTokens !== null) {
    const key = figures.cachedTokens > 0 ? "figures.prompt_cached" : "figures.prompt";
    parts.push(words.text(key, { n: figures.promptTokens, cached: figures.cachedTokens }));
  }
  return parts.join(" · ");
}

// The clipboard's interface exists on https and localhost only; a board is mostly reached otherwise.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromSelection(text);
  }
}

function copyFromSelection(text) {
  const focused = document.activeElement;
  const field = element("textarea", "unseen");
  field.value = text;
  document.body.append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    field.remove();
    // Else the keyboard would be at the page's beginning again.
    focused?.focus();
  }
}
