// The field in which the reader writes, with its two buttons: send, or stop while an answer comes. What is written
// lasts across a reload. Enter sends unless an input method is still composing, as for Chinese.

import { readStored, writeStored } from "./stored.js";

const KEY = "edge-agent.draft";

export class Composer {
  #draft = document.getElementById("draft");
  #send = document.getElementById("send");
  #stop = document.getElementById("stop");
  #isBusy = false;

  constructor({ onSend, onStop }) {
    this.onSend = onSend;
    const stored = readStored("sessionStorage", KEY);
    this.#draft.value = typeof stored === "string" ? stored : "";
    this.#draft.addEventListener("input", () => this.#changed());
    this.#draft.addEventListener("keydown", (event) => this.#key(event));
    document.getElementById("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", onStop);
    this.#changed();
  }

  // Whether an answer comes: then a message can be written, but not be sent.
  set isBusy(isBusy) {
    const hadFocus = document.activeElement === this.#stop || document.activeElement === this.#send;
    this.#isBusy = isBusy;
    this.#send.hidden = isBusy;
    this.#stop.hidden = !isBusy;
    if (hadFocus) {
      this.focus();
    }
  }

  // Not on a touch screen, where it would raise the keyboard over the answer.
  focus() {
    if (matchMedia("(pointer: fine)").matches) {
      this.#draft.focus();
    }
  }

  #key(event) {
    const isComposing = event.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && !event.shiftKey && !isComposing) {
      event.preventDefault();
      this.#submit();
    }
  }

  #submit() {
    const text = this.#draft.value.trim();
    if (text === "" || this.#isBusy) {
      return;
    }
    this.#draft.value = "";
    this.#changed();
    this.onSend(text);
  }

  #changed() {
    writeStored("sessionStorage", KEY, this.#draft.value);
    // As high as its text; the style sheet bounds it.
    this.#draft.style.height = "auto";
    this.#draft.style.height = `${this.#draft.scrollHeight}px`;
  }
}
