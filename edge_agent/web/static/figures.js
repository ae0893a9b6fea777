// The numbers under an answer: what the browser measured while it came, and what the device counted, which goes before.
// Times are in seconds of performance.now().

// An answer as it comes. Moments: sent, first token, last token.
export class Stopwatch {
  #clock;
  #sent;
  #firstToken = null;
  #lastToken = null;
  #numEvents = 0;

  constructor(clock = () => performance.now() / 1000) {
    this.#clock = clock;
    this.#sent = clock();
  }

  // A part of the answer has come: mostly one token; the one that opens the answer has no text.
  part(text) {
    this.#lastToken = this.#clock();
    this.#firstToken ??= this.#lastToken;
    this.#numEvents += text === "" ? 0 : 1;
  }

  // The figures of an answer that is over; null when nothing came. timings and usage are the device's, where it said
  // them: they are missing when the answer was stopped. The first token is always as the reader saw it.
  figures({ timings, usage }) {
    if (this.#firstToken === null) {
      return null;
    }
    const seconds = this.#lastToken - this.#firstToken;
    const measured = seconds > 0 ? (this.#numEvents - 1) / seconds : 0;
    return {
      isCounted: usage !== null,
      tokens: usage?.completion_tokens ?? this.#numEvents,
      tokensPerSecond: timings?.predicted_per_second ?? measured,
      firstTokenSeconds: this.#firstToken - this.#sent,
      promptTokens: usage?.prompt_tokens ?? null,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    };
  }
}
