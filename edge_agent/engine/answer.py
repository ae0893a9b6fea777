"""An answer while it is made: the sequence with its sampler, its text and what the request asked of both.

Owned by the step loop; knows when an answer is over, not how it got its logits.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Tokens

from edge_agent.engine.answer_text import AnswerText
from edge_agent.engine.llama import Logits
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.engine.prefix_tree import common_prefix_length
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

    def report_tokens(
        self, rows: Iterable[Logits], draft: Tokens[int], prompt: PromptTokens, *, at: float
    ) -> SequenceReport:
        """Sample from the row behind the last token and from each behind a draft that was right; report the step.

        `rows` has one row of logits more than `draft` has tokens, all computed at `at`. Each token is drawn from the
        row's own distribution and the first that differs from the draft ends it, so that drafting changes no
        distribution: for a draft that is certain of its token this is the rejection rule of speculative sampling
        (Leviathan et al. 2023, arXiv 2211.17192).
        """
        previous = self.sequence.last_token
        tokens: list[int] = []
        logprobs: list[TokenLogprobs] = []
        text = ""
        for row, guess in zip(rows, (*draft, None), strict=True):
            token = self._sample(row, logprobs)
            self._append(token, at)
            tokens.append(token)
            text += self._read(token)
            if token != guess or self.finish_reason is not None:
                break
        return SequenceReport(
            self.sequence.id,
            text=text,
            tokens=tokens,
            prompt=prompt,
            num_drafted=len(draft),
            num_accepted=self._count_draft(tokens, draft),
            previous_token=previous,
            first_token=self.sequence.times if previous is None else None,
            logprobs=None if self._request.num_logprobs is None else logprobs,
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
            num_drafted=sequence.num_drafted,
            num_accepted=sequence.num_accepted,
            text=self._text.finish(),
            stop_string=self._text.stop_string,
        )

    def _sample(self, logits: Logits, logprobs: list[TokenLogprobs]) -> int:
        # Sampling may write to the row; log-probabilities are of the row as the model made it.
        num_top = self._request.num_logprobs
        plain = logits if num_top is None else logits.copy()
        token = self._sampler.sample(logits)
        self._sampler.accept(token)
        if num_top is not None:
            logprobs.append(log_probabilities(plain, token, num_top=num_top, model=self._model))
        return token

    def _append(self, token: int, at: float) -> None:
        sequence = self.sequence
        sequence.tokens.append(token)
        sequence.last_token = at
        if sequence.first_token is None:
            sequence.first_token = at

    def _count_draft(self, tokens: list[int], draft: Tokens[int]) -> int:
        """How many drafted tokens became part of the answer."""
        num_accepted = common_prefix_length(tokens, list(draft))
        self.sequence.num_drafted += len(draft)
        self.sequence.num_accepted += num_accepted
        return num_accepted

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
