// Which of the page's languages a reader gets, and how texts and numbers are said in it.

import { STRINGS } from "./strings.js";

// The first of the reader's languages that the page has; English for all others.
export function languageOf(preferred) {
  for (const tag of preferred) {
    const language = tag.toLowerCase().split("-")[0];
    if (Object.hasOwn(STRINGS, language)) {
      return language;
    }
  }
  return "en";
}

export class Words {
  constructor(language) {
    this.language = language;
    this.tag = language === "zh" ? "zh-CN" : language;
    this.strings = STRINGS[language];
  }

  has(key) {
    return Object.hasOwn(this.strings, key);
  }

  // The text of a key, with {name} replaced by values.name; numbers get the language's separators.
  text(key, values = {}) {
    const one = `${key}_one`;
    const text = this.strings[values.n === 1 && this.has(one) ? one : key];
    return text.replace(/\{(\w+)\}/g, (_, name) => this.value(values[name]));
  }

  value(value) {
    return typeof value === "number" ? this.number(value, 0) : String(value);
  }

  number(value, digits) {
    return value.toLocaleString(this.tag, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  // Fills what the document marks with data-text, data-label and data-placeholder.
  fill(root) {
    for (const element of root.querySelectorAll("[data-text]")) {
      element.textContent = this.text(element.dataset.text);
    }
    for (const element of root.querySelectorAll("[data-label]")) {
      element.setAttribute("aria-label", this.text(element.dataset.label));
    }
    for (const element of root.querySelectorAll("[data-placeholder]")) {
      element.placeholder = this.text(element.dataset.placeholder);
    }
  }
}
