"""The accounts of people and of Kibana in an Elasticsearch that has accounts."""

from __future__ import annotations

from customer_profiles.search.client import translate_errors
from customer_profiles.search.mapping import ALIAS, INDEX_PATTERN
from customer_profiles.search.metrics_indices import METRICS_INDICES
from customer_profiles.search.profile_index import ProfileIndex

READER = "profiles-reader"
"""The account, and its role, of people who look at profiles and dashboards and change nothing."""
KIBANA_SYSTEM = "kibana_system"
"""Kibana's own account. Elasticsearch creates it."""
_READ_ONLY = ("read", "view_index_metadata", "monitor")


def set_accounts(index: ProfileIndex, reader_password: str, kibana_password: str) -> list[str]:
    """Create the reader's account and set its password and Kibana's.

    Args:
        index: the connection, with the rights to change accounts.
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
        if reader_password:
            names = [ALIAS, INDEX_PATTERN, *METRICS_INDICES]
            security.put_role(
                name=READER,
                cluster=["monitor"],
                indices=[{"names": names, "privileges": list(_READ_ONLY)}],
            )
            security.put_user(username=READER, password=reader_password, roles=[READER])
            accounts.append(READER)
        if kibana_password:
            security.change_password(username=KIBANA_SYSTEM, password=kibana_password)
            accounts.append(KIBANA_SYSTEM)
    return accounts
