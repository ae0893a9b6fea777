"""An answer while it is made: the sequence with its sampler, its text and what the request asked of both.

Owned by the step loop; knows when an answer is over, not how it got its logits.
"""

from __future__ import annotations

from edge_agent.engine.answer_text import AnswerText
from edge_agent.engine.llama import Logits
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.engine.sampling import TokenSampler, log_probabilities
from edge_agent.engine.sequence import Sequence
from edge_agent.protocol import Finished, FinishReason, PromptTokens, SequenceReport, Submit, TokenLogprobs


class Answer:
    """One sequence's way from logits to reported text."""

    def __init__(self, sequence: Sequence, request: Submit, sampler: TokenSampler, model: LlamaModel) -> None:
        self.sequence = sequence
        self._request = request
        self._sampler = sampler
        self._model = model
        self._text = AnswerText(request.stop)
        self.finish_reason: FinishReason | None = None

    def report_prefill(self, prompt: PromptTokens) -> SequenceReport:
        """What a step did that computed part of the prompt only."""
        return SequenceReport(self.sequence.id, prompt=prompt)

    def report_token(self, logits: Logits, prompt: PromptTokens, *, at: float) -> SequenceReport:
        """Sample the next token from its row of logits, computed at `at`, and report the step that gave it."""
        # Sampling may write to the row; log-probabilities are of the row as the model made it.
        plain = logits if self._request.num_logprobs is None else logits.copy()
        token = self._sampler.sample(logits)
        self._sampler.accept(token)
        previous = self._append(token, at)
        return SequenceReport(
            self.sequence.id,
            text=self._read(token),
            tokens=[token],
            prompt=prompt,
            previous_token=previous,
            first_token=self.sequence.times if previous is None else None,
            logprobs=self._logprobs(plain, token),
        )

    def finished(self, reason: FinishReason, *, at: float) -> Finished:
        """The last word about this answer."""
        sequence = self.sequence
        sequence.finished = at
        self._sampler.close()
        return Finished(
            sequence.id,
            reason,
            sequence.times,
            sequence.prompt,
            sequence.num_generated,
            text=self._text.finish(),
            stop_string=self._text.stop_string,
        )

    def _append(self, token: int, at: float) -> float | None:
        """The token joins the sequence; returns when the one before it was sampled."""
        sequence = self.sequence
        previous = sequence.last_token
        sequence.tokens.append(token)
        sequence.last_token = at
        if sequence.first_token is None:
            sequence.first_token = at
        return previous

    def _logprobs(self, logits: Logits, token: int) -> list[TokenLogprobs] | None:
        if self._request.num_logprobs is None:
            return None
        return [log_probabilities(logits, token, num_top=self._request.num_logprobs, model=self._model)]

    def _read(self, token: int) -> str:
        """Text of the token, and whether it ends the answer."""
        if token in self._model.end_tokens:
            self.finish_reason = FinishReason.STOP
            return ""
        text = self._text.feed(self._model.piece(token))
        if self._text.stop_string is not None:
            self.finish_reason = FinishReason.STOP
        elif self.sequence.num_generated >= self.sequence.max_tokens:
            self.finish_reason = FinishReason.LENGTH
        return text
