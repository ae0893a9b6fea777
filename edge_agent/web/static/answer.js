// Asks the device for one answer and reads it as it comes. Every way in which that fails becomes an AnswerFailure,
// which names the cause and the numbers that belong to it; the words for people are elsewhere.

import { eventsOf } from "./sse.js";

const URL = "/v1/chat/completions";
// Where the device gives none.
const DEFAULT_RETRY_SECONDS = 5;

export class AnswerFailure extends Error {
  constructor(cause, values = {}) {
    super(cause);
    this.reason = cause;
    this.values = values;
  }
}

// Yields {text} for each piece, {} for a token without text, and at last {finishReason, timings, usage} in one or two
// parts. Throws AnswerFailure, or the signal's AbortError.
export async function* streamAnswer(request, signal) {
  const response = await ask(request, signal);
  if (!response.ok) {
    throw await failureOf(response, signal);
  }
  let isComplete = false;
  for await (const data of readable(eventsOf(response.body), signal)) {
    if (data === "[DONE]") {
      isComplete = true;
      break;
    }
    yield partOf(data);
  }
  if (!isComplete) {
    throw new AnswerFailure("cut_off");
  }
}

async function ask(request, signal) {
  try {
    return await fetch(URL, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request),
      signal,
    });
  } catch (error) {
    throw signal.aborted ? error : new AnswerFailure("unreachable");
  }
}

async function* readable(events, signal) {
  try {
    yield* events;
  } catch (error) {
    throw signal.aborted ? error : new AnswerFailure("cut_off");
  }
}

function partOf(data) {
  let chunk;
  try {
    chunk = JSON.parse(data);
  } catch {
    throw new AnswerFailure("cut_off");
  }
  if (chunk.error) {
    throw failureFrom(chunk.error, { status: 500, retryAfter: DEFAULT_RETRY_SECONDS });
  }
  const choice = chunk.choices?.[0];
  return {
    text: choice?.delta?.content ?? "",
    finishReason: choice?.finish_reason ?? null,
    timings: chunk.timings ?? null,
    usage: chunk.usage ?? null,
  };
}

async function failureOf(response, signal) {
  const error = await errorOf(response);
  const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return failureFrom(error, {
    status: response.status,
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : DEFAULT_RETRY_SECONDS,
    unavailable: error.code === "engine_unavailable" ? await whyNotReady(signal) : null,
  });
}

async function errorOf(response) {
  try {
    return (await response.json()).error ?? {};
  } catch {
    // Something in between answered, such as a proxy.
    return {};
  }
}

function failureFrom(error, { status, retryAfter, unavailable = null }) {
  switch (error.code) {
    case "queue_full":
      return new AnswerFailure("queue_full", { seconds: retryAfter });
    case "engine_unavailable":
      return new AnswerFailure(unavailable ?? "unavailable", { seconds: retryAfter });
    case "engine_lost":
      return new AnswerFailure("engine_lost", { seconds: retryAfter });
    case "context_length_exceeded":
      return new AnswerFailure("context_length", { prompt: error.n_prompt_tokens, context: error.n_ctx });
    case "body_too_large":
      return new AnswerFailure("too_large");
    default:
      return new AnswerFailure(status < 500 ? "refused" : "failed", { message: error.message ?? `HTTP ${status}` });
  }
}

// The state that /ready names, as far as there are words for it. Ends with the signal too, so that Stop stops.
async function whyNotReady(signal) {
  const known = new Map([
    ["loading", "loading"],
    ["restarting", "restarting"],
    ["load_failed", "load_failed"],
    ["stopping", "stopping"],
    ["stopped", "stopping"],
  ]);
  try {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
    const response = await fetch("/ready", { cache: "no-store", signal: patience });
    return known.get((await response.json()).status) ?? null;
  } catch {
    return null;
  }
}
