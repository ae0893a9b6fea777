// Asks the device how it is, every two seconds while the page is seen; less and less often while it does not answer.

const INTERVAL_MS = 2000;
const LONGEST_INTERVAL_MS = 30_000;
const TIMEOUT_MS = 5000;

export class StatusPoll {
  #onStatus;
  #onFailure;
  #timer = 0;
  #numFailures = 0;
  #isAsking = false;

  constructor({ onStatus, onFailure }) {
    this.#onStatus = onStatus;
    this.#onFailure = onFailure;
    document.addEventListener("visibilitychange", () => this.now());
  }

  // Ask at once, unless nobody looks; from then on in intervals.
  async now() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#isAsking) {
      return;
    }
    this.#isAsking = true;
    try {
      const status = await ask();
      this.#numFailures = 0;
      this.#onStatus(status);
    } catch {
      this.#numFailures += 1;
      this.#onFailure();
    }
    this.#isAsking = false;
    const interval = INTERVAL_MS * 2 ** Math.max(0, this.#numFailures - 1);
    this.#timer = setTimeout(() => this.now(), Math.min(interval, LONGEST_INTERVAL_MS));
  }
}

async function ask() {
  const response = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) {
    throw new Error(`HTTP ${response.status}`);
  }
  return response.json();
}
