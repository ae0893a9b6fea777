from __future__ import annotations

from edge_agent.device.repeated_names import RepeatedNames


def test_the_first_keeps_its_name_and_the_others_get_numbers() -> None:
    names = RepeatedNames()
    assert [names.unique(name) for name in ("soc", "gpu", "soc", "soc")] == ["soc", "gpu", "soc_2", "soc_3"]


def test_a_number_that_is_taken_is_passed_over() -> None:
    names = RepeatedNames()
    assert [names.unique(name) for name in ("soc_2", "soc", "soc")] == ["soc_2", "soc", "soc_3"]


def test_names_are_printable_and_short() -> None:
    names = RepeatedNames()
    assert names.unique("a\n\x1b[31mb\u202e") == "a [31mb"
    assert names.unique("x" * 100) == "x" * 64
    assert names.unique("x" * 200) == "x" * 64 + "_2"


def test_no_name_is_a_name_too() -> None:
    names = RepeatedNames()
    assert [names.unique(name) for name in ("", "\n")] == ["unknown", "unknown_2"]
