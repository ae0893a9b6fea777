"""What is expected of the next draft, from how earlier ones ended."""

import pytest

from edge_agent.engine.draft_acceptance import DraftAcceptance


def test_longer_matches_are_trusted_more_before_anything_is_known() -> None:
    acceptance = DraftAcceptance()
    assert [acceptance.chance(length) for length in (2, 3, 4, 7, 8, 16)] == [0.3, 0.3, 0.5, 0.5, 0.8, 0.8]


def test_a_draft_that_is_right_raises_the_chance() -> None:
    acceptance = DraftAcceptance()
    acceptance.observe(5, num_drafted=4, num_accepted=4)
    # (0.8 x 0.5 + 4) / (0.8 x 1 + 4)
    assert acceptance.chance(5) == pytest.approx(4.4 / 4.8)


def test_tokens_behind_the_first_wrong_one_were_not_tested() -> None:
    acceptance = DraftAcceptance()
    acceptance.observe(5, num_drafted=10, num_accepted=2)
    # (0.8 x 0.5 + 2) / (0.8 x 1 + 3)
    assert acceptance.chance(5) == pytest.approx(2.4 / 3.8)


def test_what_was_learned_from_short_matches_says_nothing_of_long_ones() -> None:
    acceptance = DraftAcceptance()
    for _ in range(5):
        acceptance.observe(2, num_drafted=1, num_accepted=0)
    assert acceptance.chance(3) < 0.06
    assert (acceptance.chance(4), acceptance.chance(8)) == (0.5, 0.8)


def test_old_drafts_are_forgotten() -> None:
    acceptance = DraftAcceptance()
    for _ in range(50):
        acceptance.observe(8, num_drafted=16, num_accepted=16)
    assert acceptance.chance(8) > 0.99
    for _ in range(15):
        acceptance.observe(8, num_drafted=1, num_accepted=0)
    assert acceptance.chance(8) < 0.4


def test_a_probe_is_paid_with_eight_thousandths_of_the_time_that_went_by() -> None:
    acceptance = DraftAcceptance()
    acceptance.earn_probes(1.0)
    assert not acceptance.spend_probe(0.009)
    assert acceptance.spend_probe(0.007)
    assert not acceptance.spend_probe(0.002)


def test_a_probe_that_was_right_has_paid_for_itself() -> None:
    acceptance = DraftAcceptance()
    acceptance.earn_probes(1.0)
    assert acceptance.spend_probe(0.007)
    acceptance.observe(2, num_drafted=1, num_accepted=1)
    assert acceptance.spend_probe(0.007)
    acceptance.observe(2, num_drafted=1, num_accepted=0)
    assert not acceptance.spend_probe(0.007)


def test_a_probe_that_was_wrong_stays_paid_whatever_comes_after_it() -> None:
    acceptance = DraftAcceptance()
    acceptance.earn_probes(1.0)
    assert acceptance.spend_probe(0.007)
    acceptance.observe(2, num_drafted=1, num_accepted=0)
    acceptance.observe(8, num_drafted=1, num_accepted=1)
    assert not acceptance.spend_probe(0.007)
