"""The integer share pools, on numbers worked out by hand and on one distribution taken from the runtime."""

from chain.localnet.pools import FRACTION_BITS, Pool, possible_takes

ONE = 1 << FRACTION_BITS


def test_the_first_holder_gets_one_share_for_each_rao() -> None:
    pool = Pool()
    pool.mint("alice", 1_000)
    assert (pool.value_rao, pool.denominator, pool.shares) == (1_000, 1_000 * ONE, {"alice": 1_000 * ONE})


def test_dividends_raise_every_holder_in_proportion() -> None:
    pool = Pool()
    pool.mint("alice", 3_000)
    pool.mint("bob", 1_000)
    pool.grow(2_000)
    assert (pool.value_of("alice"), pool.value_of("bob")) == (4_500, 1_500)


def test_a_value_is_floored_where_the_price_is_no_binary_fraction() -> None:
    pool = Pool()
    pool.mint("alice", 3_000)
    pool.mint("bob", 1_000)
    pool.grow(400)  # 1.1 a share, kept with 64 fractional bits
    assert (pool.value_of("alice"), pool.value_of("bob")) == (3_299, 1_099)


def test_a_take_is_minted_at_the_price_before_the_dividends() -> None:
    pool = Pool()
    pool.mint("alice", 1_000)
    pool.mint("owner", 1_000)  # the take
    pool.grow(2_000)
    assert (pool.value_of("alice"), pool.value_of("owner")) == (2_000, 2_000)


def test_a_rest_of_dust_goes_with_the_debit() -> None:
    pool = Pool()
    pool.mint("alice", 10_000_000)
    pool.mint("bob", 10_000_000)
    pool.burn("alice", 9_999_950)  # would leave 0.0005 % of the share
    assert (pool.value_rao, pool.shares["alice"]) == (10_000_000, 0)


def test_a_rest_above_dust_stays() -> None:
    pool = Pool()
    pool.mint("alice", 10_000_000)
    pool.mint("bob", 10_000_000)
    pool.burn("alice", 9_999_800)
    assert (pool.value_rao, pool.value_of("alice")) == (10_000_200, 200)


def test_pools_agree_when_a_share_is_absent_or_zero() -> None:
    assert Pool(5, ONE, {"alice": ONE, "bob": 0}).same_as(Pool(5, ONE, {"alice": ONE}))
    assert not Pool(5, ONE, {"alice": ONE}).same_as(Pool(5, ONE, {"alice": ONE - 1}))


def test_the_take_follows_from_the_dividends_after_it() -> None:
    # A root distribution that spec 293 made: 628,010,286 rao after a take of 5898/65535.
    assert 62_109_171 in possible_takes(628_010_286, 5898)
    assert possible_takes(1_000, 0) == [0]
