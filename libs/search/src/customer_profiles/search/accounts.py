"""The accounts of jobs, people and Kibana in an Elasticsearch that has accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customer_profiles.search.alert_index import ALERTS
from customer_profiles.search.client import translate_errors
from customer_profiles.search.experiments import RESULTS
from customer_profiles.search.mapping import ALIAS, INDEX_PATTERN
from customer_profiles.search.metrics_indices import METRICS_INDICES
from customer_profiles.search.profile_index import ProfileIndex
from customer_profiles.search.quality_indices import QUALITY_FINDINGS, QUALITY_METRICS

JOBS = "profiles-jobs"
"""The account, and its role, of jobs: everything in the indices of this project, nothing else."""
READER = "profiles-reader"
"""The account, and its role, of people who look at profiles and dashboards and change nothing."""
KIBANA_SYSTEM = "kibana_system"
"""Kibana's own account. Elasticsearch creates it."""
_INDICES = [
    *(ALIAS, INDEX_PATTERN, *METRICS_INDICES),
    *(ALERTS, QUALITY_METRICS, QUALITY_FINDINGS, RESULTS),
]
_ROLES: Mapping[str, Mapping[str, Any]] = {
    JOBS: {
        # `ensure` puts the index template.
        "cluster": ["monitor", "manage_index_templates"],
        "indices": [
            {
                "names": _INDICES,
                "privileges": ["manage", "read", "write", "view_index_metadata", "monitor"],
            }
        ],
    },
    READER: {
        "cluster": ["monitor"],
        "indices": [{"names": _INDICES, "privileges": ["read", "view_index_metadata", "monitor"]}],
    },
}
"""What each account may do, by its name."""


def set_accounts(
    index: ProfileIndex, *, jobs_password: str, reader_password: str, kibana_password: str
) -> list[str]:
    """Create the accounts of jobs and readers, and set their passwords and Kibana's.

    Args:
        index: the connection, with the rights to change accounts.
        jobs_password: the password of `JOBS`; empty leaves the account as it is.
        reader_password: the password of `READER`; empty leaves the account as it is.
        kibana_password: the password of `KIBANA_SYSTEM`; empty leaves it as it is.

    Returns:
        The names of the accounts that got a password.

    Raises:
        IndexUnavailableError: Elasticsearch does not answer.
        IndexRefusedError: Elasticsearch refuses, or has no accounts at all.
    """
    security = index.client.security
    accounts = []
    with translate_errors(index.config.url):
        for name, password in ((JOBS, jobs_password), (READER, reader_password)):
            if password:
                security.put_role(name=name, **_ROLES[name])
                security.put_user(username=name, password=password, roles=[name])
                accounts.append(name)
        if kibana_password:
            security.change_password(username=KIBANA_SYSTEM, password=kibana_password)
            accounts.append(KIBANA_SYSTEM)
    return accounts
