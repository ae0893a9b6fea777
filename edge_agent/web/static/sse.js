// Cuts a body of server-sent events into the data of each event. Knows nothing of what the data means.

// 1 MiB: a token's event has some hundred bytes. An event without end must not fill the tab's memory.
const MAX_EVENT_CHARACTERS = 1024 * 1024;

export class EventParser {
  #rest = "";
  #data = [];
  #length = 0;

  // The data of every event that `text` completes. Throws RangeError for an event beyond all bounds.
  feed(text) {
    const events = [];
    // A lone CR at the end may be half of a CRLF: it waits for what follows.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      this.#take(line, events);
    }
    if (this.#rest.length + this.#length > MAX_EVENT_CHARACTERS) {
      throw new RangeError("an event has no end");
    }
    return events;
  }

  #take(line, events) {
    if (line === "") {
      if (this.#data.length > 0) {
        events.push(this.#data.join("\n"));
      }
      this.#data = [];
      this.#length = 0;
      return;
    }
    // Comments (": keep-alive") and other fields have no data.
    if (line.startsWith("data:")) {
      const data = line.slice(line.startsWith("data: ") ? 6 : 5);
      this.#data.push(data);
      // One more for its line break: lines without data must not pile up either.
      this.#length += data.length + 1;
    }
  }
}

// The data of every event of a response's body, as they come. Throws what reading the body throws.
export async function* eventsOf(body) {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      yield* parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    // Leaving early ends the request, which frees the sequence; after the end it does nothing.
    reader.cancel().catch(() => {});
  }
}
