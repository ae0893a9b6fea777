// The chat page: puts its parts together, and leads one answer at a time from the question to its end.

import { AnswerFailure, streamAnswer } from "./answer.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { factsOf, showFacts } from "./device_facts.js";
import { Stopwatch } from "./figures.js";
import { Header } from "./header.js";
import { languageOf, Words } from "./i18n.js";
import { AnswerView, noteOf, QuestionView } from "./message_view.js";
import { Settings } from "./settings.js";
import { StatusPoll } from "./status_poll.js";

// Who has scrolled up by more than this reads something, and is left there while the answer grows.
const FOLLOW_PIXELS = 60;

class ChatPage {
  #words;
  #settings;
  #header;
  #composer;
  #poll;
  #conversation = Conversation.load();
  #running = null;
  #isFollowing = true;
  #log = document.getElementById("log");
  #scroller = document.getElementById("scroller");
  #empty = document.getElementById("empty");
  #announcer = document.getElementById("announcer");
  #panel = document.getElementById("panel");
  #facts = document.getElementById("device-facts");

  constructor(words) {
    this.#words = words;
    this.#settings = new Settings(words);
    this.#header = new Header(words);
    this.#composer = new Composer({ onSend: (text) => this.#send(text), onStop: () => this.#stop() });
    this.#poll = new StatusPoll({
      onStatus: (status) => this.#showStatus(status),
      onFailure: () => this.#header.showUnreachable(),
    });
    this.#bind();
    this.#showConversation();
    showFacts(this.#facts, [[words.text("device.version"), words.text("device.absent")]]);
  }

  start() {
    this.#poll.now();
    this.#composer.focus();
  }

  // --- the page's events --------------------------------------------------------------------------------------------

  #bind() {
    document.getElementById("new").addEventListener("click", () => this.#beginConversation());
    document.getElementById("open-panel").addEventListener("click", () => this.#panel.showModal());
    document.getElementById("close-panel").addEventListener("click", () => this.#panel.close());
    this.#bindBackdrop();
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#panel.open && !event.isComposing) {
        this.#stop();
      }
    });
    this.#scroller.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
      this.#isFollowing = scrollHeight - scrollTop - clientHeight < FOLLOW_PIXELS;
    });
    window.addEventListener("pagehide", () => this.#conversation.save());
  }

  // Closes the panel for who presses beside it, and not for who selects text in it and lets go outside.
  #bindBackdrop() {
    const isBeside = ({ clientX, clientY }) => {
      const { left, right, top, bottom } = this.#panel.getBoundingClientRect();
      return clientX < left || clientX > right || clientY < top || clientY > bottom;
    };
    let isPressedBeside = false;
    this.#panel.addEventListener("pointerdown", (event) => (isPressedBeside = isBeside(event)));
    this.#panel.addEventListener("click", (event) => {
      if (event.target === this.#panel && isPressedBeside && isBeside(event)) {
        this.#panel.close();
      }
    });
  }

  #showStatus(status) {
    try {
      this.#header.show(status);
      showFacts(this.#facts, factsOf(status, this.#words));
    } catch {
      // Not a status of this service: something else answers at its address.
      this.#header.showUnreachable();
    }
  }

  // --- the conversation ---------------------------------------------------------------------------------------------

  #showConversation() {
    this.#log.replaceChildren();
    for (const message of this.#conversation.messages) {
      this.#addView(message);
    }
    this.#empty.hidden = this.#conversation.messages.length > 0;
    this.#follow(true);
  }

  #addView(message) {
    const view =
      message.role === "user"
        ? new QuestionView(message, this.#words)
        : new AnswerView(message, this.#words, { onAgain: () => this.#again() });
    this.#log.append(view.element);
    this.#empty.hidden = true;
    return view;
  }

  #beginConversation() {
    this.#stop();
    this.#conversation = new Conversation();
    this.#conversation.save();
    this.#showConversation();
    this.#composer.focus();
  }

  #send(text) {
    this.#addView(this.#conversation.ask(text));
    this.#answer();
  }

  #again() {
    if (this.#running === null) {
      this.#conversation.dropAnswer();
      this.#log.lastElementChild.remove();
      this.#composer.focus();
      this.#answer();
    }
  }

  #stop() {
    this.#running?.abort();
  }

  // --- an answer ----------------------------------------------------------------------------------------------------

  async #answer() {
    const conversation = this.#conversation;
    const settings = this.#settings.values;
    const request = conversation.request(settings);
    const running = new AbortController();
    const message = conversation.beginAnswer();
    const view = this.#addView(message);
    this.#begin(running);
    await fillAnswer(message, streamAnswer(request, running.signal), {
      maxTokens: settings.maxTokens,
      signal: running.signal,
      onGrown: () => view.showSoon(() => this.#follow(false)),
    });
    view.show();
    this.#end(message);
  }

  #begin(running) {
    this.#conversation.save();
    this.#running = running;
    this.#composer.isBusy = true;
    // Screen readers wait with a log that is busy, and then say the answer as a whole.
    this.#log.setAttribute("aria-busy", "true");
    this.#announcer.textContent = this.#words.text("answer.waiting");
    this.#follow(true);
  }

  #end(message) {
    this.#conversation.save();
    this.#running = null;
    this.#composer.isBusy = false;
    this.#log.setAttribute("aria-busy", "false");
    this.#announcer.textContent = noteOf(message, this.#words) ?? this.#words.text("announce.complete");
    this.#follow(false);
    this.#poll.now();
  }

  // Keeps the end of the conversation in sight: for who is there already, or for all.
  #follow(isForced) {
    this.#isFollowing ||= isForced;
    if (this.#isFollowing) {
      this.#scroller.scrollTop = this.#scroller.scrollHeight;
    }
  }
}

// Fills the message with what comes until its end, whichever end that is. Throws nothing.
async function fillAnswer(message, parts, { maxTokens, signal, onGrown }) {
  const stopwatch = new Stopwatch();
  const end = { finishReason: null, timings: null, usage: null };
  try {
    for await (const part of parts) {
      for (const name of Object.keys(end)) {
        end[name] = part[name] ?? end[name];
      }
      if (part.finishReason === null && part.usage === null) {
        stopwatch.part(part.text);
        message.text += part.text;
        onGrown();
      }
    }
    message.ending = endingOf(end, maxTokens);
  } catch (error) {
    message.ending = signal.aborted ? "stopped" : "failed";
    message.failure = signal.aborted ? null : asFailure(error);
  }
  message.figures = stopwatch.figures(end);
}

function endingOf({ finishReason, usage }, maxTokens) {
  if (finishReason !== "length") {
    return "stop";
  }
  return maxTokens !== null && usage?.completion_tokens >= maxTokens ? "length" : "context";
}

function asFailure(error) {
  if (error instanceof AnswerFailure) {
    return { reason: error.reason, values: error.values };
  }
  console.error(error);
  return { reason: "cut_off", values: {} };
}

const words = new Words(languageOf(navigator.languages));
document.documentElement.lang = words.tag;
words.fill(document);
new ChatPage(words).start();
