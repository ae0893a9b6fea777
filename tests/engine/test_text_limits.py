"""What is tokenised and what is refused, by numbers worked out by hand."""

from edge_agent.engine.text_limits import TextLimits

# Two special tokens of 8 bytes.
LIMITS = TextLimits(always=frozenset({b"<|user|>"}), on_request=frozenset({b"<|turn|>"}))


def test_ordinary_text_of_a_mebibyte_is_taken() -> None:
    assert LIMITS.complaint(b"a" * 1024 * 1024, parse_special=True) is None


def test_a_byte_more_is_refused_with_its_size() -> None:
    complaint = LIMITS.complaint(b"a" * (1024 * 1024 + 1), parse_special=True)
    assert complaint is not None
    assert "1048577 bytes" in complaint


def test_many_special_tokens_in_a_long_text_are_refused_with_their_number() -> None:
    # 65,536 x 1,048,576 x 2 is 1.4e11, more than 1e11.
    text = b"<|turn|>aaaaaaaa" * 65536
    complaint = LIMITS.complaint(text, parse_special=True)
    assert complaint is not None
    assert "65536 special tokens" in complaint


def test_special_tokens_that_are_not_read_do_not_count() -> None:
    text = b"<|turn|>aaaaaaaa" * 65536
    assert LIMITS.complaint(text, parse_special=False) is None


def test_special_tokens_that_are_always_read_always_count() -> None:
    # 131,072 x 1,048,576 x 1 is 1.37e11.
    assert LIMITS.complaint(b"<|user|>" * 131072, parse_special=False) is not None


def test_a_long_conversation_is_taken() -> None:
    # 2,000 special tokens in 1 MB: 2,000 x 1e6 x 2 is 4e9.
    assert LIMITS.complaint((b"<|turn|>" + b"word " * 98) * 2000, parse_special=True) is None


def test_a_vocabulary_without_special_tokens_counts_none() -> None:
    limits = TextLimits(always=frozenset({b""}), on_request=frozenset())
    assert limits.complaint(b"<|turn|>" * 1000, parse_special=True) is None
