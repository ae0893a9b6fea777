"""What is asked of a server under comparison: the same questions for each, of words that no model has seen together.

A workload is a set of users who begin at once; each asks one thing after another. Pure and repeatable: the salt alone
decides the words, so that a round differs from the last one (a warm prefix cache must not decide) and not between
servers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
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
INSTRUCTIONS_WORDS = 560
# About 2,000 tokens: a document of four pages.
DOCUMENT_WORDS = 1640
# Enough lines for 256 tokens: an answer that copies them never comes to their end.
LIST_LINES = 56


@dataclass(frozen=True, slots=True)
class Question:
    """One request. `follows` says that it goes on with the user's conversation so far, answers included."""

    messages: list[Message]
    max_tokens: int
    follows: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Asks its questions one after another; who `intrudes` begins when all others are being answered."""

    questions: list[Question]
    intrudes: bool = False


def prose(rng: random.Random, num_words: int) -> str:
    """So many words in a row that mean nothing."""
    return " ".join(rng.choice(WORDS) for _ in range(num_words))


def users_of(name: str, *, salt: str) -> list[User]:
    """The users of a workload. Raises ValueError for a name that is none.

    distinct1, distinct8: nothing in common. shared4, shared8: one long system prompt. turns: a conversation of six
    turns behind it; turns-warm: another one behind the system prompt of the turns with the same salt. intrude: three
    are answered when a long prompt comes in. copy: the answer repeats the question. loop: it repeats itself.
    """
    found = re.fullmatch(r"(distinct|shared)([1-9]\d{0,2})", name)
    if found:
        crowd = _distinct if found[1] == "distinct" else _shared
        return crowd(random.Random(f"{name} {salt}"), int(found[2]))
    if name not in SINGLE:
        raise ValueError(f"no workload {name}: give distinctN, sharedN, {', '.join(SINGLE)}")
    return SINGLE[name](salt)


def instructions(salt: str) -> Message:
    """A system prompt of about 700 tokens."""
    text = prose(random.Random(f"instructions {salt}"), INSTRUCTIONS_WORDS)
    return {"role": "system", "content": f"You are a workshop's help desk. {text}"}


def asking(system: Message, text: str, *, max_tokens: int) -> User:
    """One user who asks one thing behind a system prompt."""
    return User([Question([system, _user(text)], max_tokens)])


def document(salt: str) -> User:
    """One user with a prompt of about 2,000 tokens."""
    text = prose(random.Random(f"document {salt}"), DOCUMENT_WORDS)
    return User([Question([_user(f"Sum this up: {text}")], 32)])


def _distinct(rng: random.Random, num_users: int) -> list[User]:
    asked = [f"Write a story with these words: {prose(rng, 85)}" for _ in range(num_users)]
    return [User([Question([_user(text)], 64)]) for text in asked]


def _shared(rng: random.Random, num_users: int) -> list[User]:
    system = instructions(str(rng.random()))
    asked = [f"Ticket {number}: what is a {rng.choice(WORDS)}?" for number in range(num_users)]
    return [asking(system, text, max_tokens=32) for text in asked]


def _turns(salt: str) -> list[User]:
    return [_conversation(random.Random(f"turns {salt}"), salt)]


def _turns_warm(salt: str) -> list[User]:
    return [_conversation(random.Random(f"turns-warm {salt}"), salt)]


def _conversation(rng: random.Random, salt: str) -> User:
    first = Question([instructions(f"turns {salt}"), _user(f"Tell me about a {rng.choice(WORDS)}.")], 24)
    further = [f"And now about a {rng.choice(WORDS)}." for _ in range(5)]
    return User([first, *(Question([_user(text)], 24, follows=True) for text in further)])


def _intrude(salt: str) -> list[User]:
    rng = random.Random(f"intrude {salt}")
    answered = [User([Question([_user(f"Tell me about the {word}.")], 160)]) for word in rng.sample(WORDS, 3)]
    intruder = Question([_user(f"Sum this up: {prose(rng, 420)}")], 16)
    return [*answered, User([intruder], intrudes=True)]


def _copy(salt: str) -> list[User]:
    """A numbered list of single words is the longest text that even the smallest model gets about right."""
    words = random.Random(f"copy {salt}").sample(WORDS, LIST_LINES)
    lines = "\n".join(f"{number}. {word}" for number, word in enumerate(words, start=1))
    return [User([Question([_user(f"Write this list again:\n\n{lines}")], 256)])]


def _loop(salt: str) -> list[User]:
    line = f"The {random.Random(f'loop {salt}').choice(WORDS)} is red."
    return [User([Question([_user(f"Write this line a hundred times: {line}\n" + f"{line}\n" * 6)], 256)])]


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


SINGLE: dict[str, Callable[[str], list[User]]] = {
    "turns": _turns,
    "turns-warm": _turns_warm,
    "intrude": _intrude,
    "copy": _copy,
    "loop": _loop,
}
