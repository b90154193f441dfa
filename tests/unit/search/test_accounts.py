"""The accounts of readers and of Kibana."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.search.accounts import set_accounts
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.profile_index import ProfileIndex


def test_a_reader_may_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, dict[str, Any]] = {}

    def record(call: str) -> Callable[..., None]:
        return lambda **arguments: calls.update({call: arguments})

    names = ("put_role", "put_user", "change_password")
    security = SimpleNamespace(**{name: record(name) for name in names})
    index = ProfileIndex(ElasticsearchConfig("http://127.0.0.1:9"))
    monkeypatch.setattr(index, "client", SimpleNamespace(security=security))
    # The native stack has no accounts.
    assert set_accounts(index, "", "") == []
    assert calls == {}

    assert set_accounts(index, "r", "k") == ["profiles-reader", "kibana_system"]
    (privileges,) = calls["put_role"]["indices"]
    assert set(privileges["privileges"]) == {"read", "view_index_metadata", "monitor"}
    assert privileges["names"] == [
        "customer_profiles",
        "customer_profiles-*",
        "event_metrics",
        "pipeline_runs",
        "rejected_rows",
    ]
    assert calls["put_role"]["cluster"] == ["monitor"]
    user = calls["put_user"]
    assert (user["username"], user["roles"]) == ("profiles-reader", [calls["put_role"]["name"]])
    assert calls["change_password"]["username"] == "kibana_system"
