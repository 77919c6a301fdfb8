"""The share pool, replayed as the chain computes it (chain share-pool primitive)."""

from hypothesis import given
from hypothesis import strategies as st

from chain.pools.shares import SharePool
from chain.tests.replay_node import Play

AMOUNTS = st.integers(1, 10**16)


@given(st.lists(st.tuples(st.sampled_from("abcd"), AMOUNTS, st.booleans()), max_size=30))
def test_ch3_shares_always_add_up_to_the_denominator(steps: list[tuple[str, int, bool]]) -> None:
    pool = SharePool(0, 0)
    for coldkey, amount, adding in steps:
        if adding or pool.stake_of(coldkey) == 0:
            pool.add(coldkey, amount)
        else:
            pool.remove(coldkey, min(amount, pool.stake_of(coldkey)))
        pool.add_for_all(amount // 1000)
        assert sum(pool.shares.values()) == pool.denominator
        assert sum(map(pool.stake_of, pool.shares)) <= pool.value


def test_ch3_a_dividend_leaves_every_share_as_it_was() -> None:
    pool = SharePool(0, 0)
    pool.add("a", 3)
    pool.add("b", 1)
    shares = dict(pool.shares)
    pool.add_for_all(1000)
    assert pool.shares == shares
    assert pool.stake_of("a") in (752, 753)


def test_ch3_removing_almost_everything_removes_everything() -> None:
    pool = SharePool(0, 0)
    pool.add("a", 10**12)
    pool.add("b", 10**12)
    assert pool.remove("a", 10**12 - 1) == 10**12
    assert pool.shares["a"] == 0


def test_ch3_an_emptied_pool_starts_afresh() -> None:
    pool = SharePool(0, 0)
    pool.add("a", 500)
    assert pool.remove("a", 500) == 500
    assert (pool.value, pool.denominator) == (0, 0)
    pool.add("b", 7)
    assert (pool.value, pool.denominator, pool.shares["b"]) == (7, 7 << 64, 7 << 64)


def test_ch3_stake_moves_of_the_real_runtime_replay_bit_for_bit(play: Play) -> None:
    """Every quiet-pool block of the play with stake events: replaying them gives the chain's own numbers."""
    compared = 0
    for number in range(2, play.last + 1):
        shares, values = play.table(number - 1, "Alpha"), play.table(number - 1, "TotalHotkeyAlpha")
        denominators = play.table(number - 1, "TotalHotkeyShares")
        steps = [play.table(n, "LastMechansimStepBlock") for n in (number - 1, number)]
        if steps[0] != steps[1]:
            continue
        events = [e for e in play.blocks[number]["events"] if e["event"] in ("StakeAdded", "StakeRemoved")]
        for pool_key in {(e["attributes"][1], e["attributes"][4]) for e in events}:
            holders = {key[1]: share for key, share in shares.items() if (key[0], key[2]) == pool_key}
            pool = SharePool(values.get(pool_key, 0), denominators.get(pool_key, 0), holders)
            for event in events:
                coldkey, hotkey, _, alpha, netuid, _ = event["attributes"]
                if (hotkey, netuid) == pool_key:
                    (pool.add if event["event"] == "StakeAdded" else pool.remove)(coldkey, alpha)
            after = {k[1]: v for k, v in play.table(number, "Alpha").items() if (k[0], k[2]) == pool_key}
            assert {coldkey: share for coldkey, share in pool.shares.items() if share} == after
            assert pool.value == play.table(number, "TotalHotkeyAlpha").get(pool_key, 0)
            compared += 1
    assert compared == 14
