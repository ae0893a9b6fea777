from edge_agent.engine_client.stderr_tail import StderrTail


def kept(*pieces: bytes) -> list[str]:
    """What is kept of a stream that arrives in these pieces."""
    tail = StderrTail()
    for piece in pieces:
        tail.data_received(piece)
    tail.connection_lost(None)
    return list(tail.lines)


async def test_lines_are_put_together_across_reads() -> None:
    assert kept(b"one\ntw", b"o\nthr", b"ee") == ["one", "two", "three"]


async def test_only_the_last_twenty_lines_are_kept() -> None:
    assert kept(b"".join(b"%d\n" % number for number in range(25))) == [str(number) for number in range(5, 25)]


async def test_a_long_line_is_cut_at_4096_bytes() -> None:
    assert kept(b"a" * 10_000 + b"\nb\n") == ["a" * 4096, "b"]


async def test_a_line_without_end_is_cut_however_it_arrives() -> None:
    assert kept(*[b"a" * 1000] * 50) == ["a" * 4096]


async def test_broken_utf8_is_replaced_and_control_characters_become_spaces() -> None:
    assert kept(b"caf\xc3\xa9 \xff\x1b[31mred\r\n\n  \n") == ["café \ufffd [31mred"]
