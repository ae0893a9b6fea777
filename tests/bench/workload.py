"""What is asked of a server under comparison: the same questions for each, of words that no model has seen together.

A workload is a set of users who begin at once; each asks one thing after another. Pure and repeatable: the salt alone
decides the words, so that a round differs from the last one (a warm prefix cache must not decide) and not between
servers.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

Message = dict[str, str]

WORDS = tuple(
    """
    acorn amber attic badge barrel beacon bellow birch bishop blanket boulder bracket brook bucket button cabin
    canal carpet cellar chapel cinder clover cobble compass cradle curtain dagger drawer ember engine falcon
    ferry fiddle flask fountain gallery gravel harbor hazel helmet hinge kettle lantern ledger marble meadow
    needle orchard paddle pebble pillow quarry ribbon saddle shutter thimble timber tunnel velvet wagon willow
    """.split()  # noqa: SIM905 (one a line, they would be a page)
)
# About 700 tokens: the instructions of a help desk, as long as such instructions are.
INSTRUCTIONS_WORDS = 520


@dataclass(frozen=True, slots=True)
class Question:
    """One request. `follows` says that it goes on with the user's conversation so far, answers included."""

    messages: list[Message]
    max_tokens: int
    follows: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Asks its questions one after another, after a first pause."""

    questions: list[Question]
    delay_seconds: float = 0.0


def prose(rng: random.Random, num_words: int) -> str:
    """So many words in a row that mean nothing."""
    return " ".join(rng.choice(WORDS) for _ in range(num_words))


def users_of(name: str, *, salt: str) -> list[User]:
    """The users of a workload. Raises ValueError for a name that is none.

    distinct1, distinct8: nothing in common. shared4, shared8: one long system prompt. turns: a conversation of six
    turns behind it. intrude: three are answered when a long prompt comes in. copy: the answer repeats the question.
    """
    rng = random.Random(f"{name} {salt}")
    found = re.fullmatch(r"([a-z]+)(\d{0,3})", name)
    kind, num_users = (found[1], int(found[2] or 0)) if found else (name, 0)
    match kind:
        case "distinct" if num_users:
            asked = [f"Write a story with these words: {prose(rng, 85)}" for _ in range(num_users)]
            return [User([Question([_user(text)], 64)]) for text in asked]
        case "shared" if num_users:
            system = _instructions(rng)
            asked = [f"Ticket {number}: what is a {rng.choice(WORDS)}?" for number in range(num_users)]
            return [User([Question([system, _user(text)], 32)]) for text in asked]
        case "turns" if not num_users:
            first = Question([_instructions(rng), _user(f"Tell me about a {rng.choice(WORDS)}.")], 24)
            further = [f"And now about a {rng.choice(WORDS)}." for _ in range(5)]
            return [User([first, *(Question([_user(text)], 24, follows=True) for text in further)])]
        case "intrude" if not num_users:
            answered = [User([Question([_user(f"Tell me about the {word}.")], 160)]) for word in rng.sample(WORDS, 3)]
            intruder = Question([_user(f"Sum this up: {prose(rng, 420)}")], 16)
            return [*answered, User([intruder], delay_seconds=0.6)]
        case "copy" if not num_users:
            system = {"role": "system", "content": "Repeat the user's text word for word."}
            return [User([Question([system, _user(prose(rng, 90))], 160)])]
    raise ValueError(f"no workload {name}: give distinctN, sharedN, turns, intrude or copy")


def _instructions(rng: random.Random) -> Message:
    return {"role": "system", "content": f"You are a workshop's help desk. {prose(rng, INSTRUCTIONS_WORDS)}"}


def _user(text: str) -> Message:
    return {"role": "user", "content": text}
