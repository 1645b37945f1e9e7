"""Which limit holds for whom."""

import json

import pytest

from runtime.identity import Identity
from runtime.rate_limits import Limit
from runtime.rate_policy import Bucket, Caller, RateSettings


def test_people_have_the_limits_of_the_documents_by_default() -> None:
    policy = RateSettings().rate_policy()
    found = {bucket: policy.limit(bucket, "user") for bucket in Bucket}
    assert found == {
        Bucket.PUBLIC: Limit(100),
        Bucket.TRADES: Limit(30),
        Bucket.CANCELS: Limit(120),
        Bucket.ADMIN: Limit(60),
    }


def test_api_keys_have_more_by_default_and_what_their_tier_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RateSettings().rate_policy().limit(Bucket.TRADES, "standard") == Limit(300)
    monkeypatch.setenv("RATE_TIERS", json.dumps({"maker": {"trades": 60_000}}))
    policy = RateSettings().rate_policy()
    assert policy.limit(Bucket.TRADES, "maker") == Limit(60_000)
    assert policy.limit(Bucket.PUBLIC, "maker") == Limit(100)
    assert policy.limit(Bucket.TRADES, "standard") == Limit(30)
    assert policy.limit(Bucket.TRADES, "a tier nobody has heard of") == Limit(30)


@pytest.mark.parametrize("tiers", ['{"maker": {"trades": 0}}', '{"maker": {"orders": 5}}', "[]", "maker"])
def test_settings_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, tiers: str) -> None:
    monkeypatch.setenv("RATE_TIERS", tiers)
    with pytest.raises(ValueError):
        RateSettings()


def test_all_keys_of_a_user_count_together_and_apart_from_the_user() -> None:
    def key(number: str) -> Identity:
        return Identity("ann", "user", "", number, 9, tier="standard", api_key_id=number)

    person = Identity("ann", "user", "session", "token", 9)
    assert Caller.of(key("1")) == Caller.of(key("2")) != Caller.of(person)
