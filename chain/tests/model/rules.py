"""Which rules a runtime follows, by its spec version. Dates are those of releases, as in the chain's own history."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """The rules of one runtime that differ between eras and that matter for stake."""

    spec: int

    @property
    def first_share_pool(self) -> bool:
        """Pools start at the whole value, and no dust is ever removed."""
        return self.spec < 244

    @property
    def safe_float(self) -> bool:
        return self.spec >= 397

    @property
    def fee_in_events(self) -> bool:
        return self.spec >= 257

    @property
    def prop_alpha_dividends(self) -> bool:
        """Alpha dividends have a fraction: the pot times a share. Before, they are the whole rao of the epoch."""
        return self.spec >= 257

    @property
    def owner_hotkey_mines_for_nothing(self) -> bool:
        return self.spec >= 257

    @property
    def first_emission(self) -> bool:
        """Only started subnets accrue anything."""
        return self.spec >= 257

    @property
    def last_epoch_alpha(self) -> bool:
        return self.spec >= 261

    @property
    def root_tao_follows_dividends(self) -> bool:
        """SubnetTAO of root grows by root dividends."""
        return 283 <= self.spec < 334

    @property
    def input_fee(self) -> bool:
        """Swap fees are a fraction of what goes in, in its own token."""
        return self.spec >= 283

    @property
    def synthetic_pair(self) -> bool:
        """Moves within a subnet do not swap; they deposit a pair of events with equal amounts."""
        return self.spec >= 293

    @property
    def silent_alpha_fee(self) -> bool:
        return 301 <= self.spec < 349

    @property
    def caps_alpha(self) -> bool:
        """Calls cap the amount at what is left, because an alpha fee may have taken some."""
        return self.spec >= 301

    @property
    def incentive_events(self) -> bool:
        return self.spec >= 315

    @property
    def autostake_by_netuid(self) -> bool:
        return self.spec >= 326

    @property
    def root_claims(self) -> bool:
        return self.spec >= 334

    @property
    def root_sell_flag(self) -> bool:
        return self.spec >= 342

    @property
    def split_pendings(self) -> bool:
        return self.spec >= 342

    @property
    def own_root_map(self) -> bool:
        return self.spec >= 361

    @property
    def keep_subnets(self) -> bool:
        return self.spec >= 361

    @property
    def fee_to_author(self) -> bool:
        return self.spec >= 385

    @property
    def coldkey_swap_cost(self) -> bool:
        return self.spec < 385

    @property
    def keep_stake(self) -> bool:
        return self.spec >= 391

    @property
    def removed_alpha_is_net(self) -> bool:
        return self.spec >= 397

    @property
    def alpha_fee_event(self) -> bool:
        return self.spec >= 397

    @property
    def claims_move_root_tao(self) -> bool:
        return self.spec >= 411

    @property
    def tao_transfers(self) -> bool:
        return self.spec >= 411

    @property
    def claim_errors_roll_back(self) -> bool:
        return self.spec >= 411

    @property
    def sqrt_price(self) -> bool:
        return 283 <= self.spec < 423

    @property
    def balancer(self) -> bool:
        return self.spec >= 423

    @property
    def dynamic_tempo(self) -> bool:
        return self.spec >= 423
