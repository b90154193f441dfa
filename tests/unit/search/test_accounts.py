"""The accounts of jobs, of readers and of Kibana."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.search.accounts import set_accounts
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.profile_index import ProfileIndex


def test_a_reader_may_only_read_and_a_job_may_only_use_its_indices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: dict[tuple[str, str], dict[str, Any]] = {}

    def record(call: str) -> Callable[..., None]:
        return lambda **arguments: calls.update(
            {(call, arguments.get("name") or arguments["username"]): arguments}
        )

    names = ("put_role", "put_user", "change_password")
    security = SimpleNamespace(**{name: record(name) for name in names})
    index = ProfileIndex(ElasticsearchConfig("http://127.0.0.1:9"))
    monkeypatch.setattr(index, "client", SimpleNamespace(security=security))
    # The native stack has no accounts.
    assert set_accounts(index, jobs_password="", reader_password="", kibana_password="") == []
    assert calls == {}

    accounts = set_accounts(index, jobs_password="j", reader_password="r", kibana_password="k")
    assert accounts == ["profiles-jobs", "profiles-reader", "kibana_system"]
    reads = {"read", "view_index_metadata", "monitor"}
    for name, password, cluster, privileges in (
        ("profiles-jobs", "j", ["monitor", "manage_index_templates"], reads | {"manage", "write"}),
        ("profiles-reader", "r", ["monitor"], reads),
    ):
        role, user = calls["put_role", name], calls["put_user", name]
        assert (user["password"], user["roles"]) == (password, [name])
        assert role["cluster"] == cluster
        (indices,) = role["indices"]
        assert set(indices["privileges"]) == privileges
        assert indices["names"] == [
            "customer_profiles",
            "customer_profiles-*",
            "event_metrics",
            "pipeline_runs",
            "rejected_rows",
            "alerts",
            "quality_metrics",
            "quality_findings",
            "experiment_results",
        ]
    assert calls["change_password", "kibana_system"]["password"] == "k"
