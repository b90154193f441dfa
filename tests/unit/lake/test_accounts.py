"""The account of jobs in MinIO."""

from __future__ import annotations

from typing import Any

import pytest
from minio.error import MinioAdminException
from urllib3.exceptions import MaxRetryError
from urllib3.poolmanager import PoolManager

from customer_profiles.lake.accounts import jobs_policy, set_jobs_account
from customer_profiles.lake.errors import LakeUnavailableError
from customer_profiles.lake.s3_config import S3Config

ROOT = S3Config("127.0.0.1:9", "root", "hidden-root")


class FakeAdmin:
    """Records the calls, or raises an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, **options: Any) -> FakeAdmin:
        self.calls.append((options["endpoint"], options["secure"]))
        return self

    def policy_add(self, name: str, policy: dict[str, Any]) -> None:
        self.calls.append(("policy", name, policy))

    def user_add(self, name: str, password: str) -> None:
        if self.error:
            raise self.error
        self.calls.append(("user", name, password))

    def policy_set(self, name: str, user: str) -> None:
        self.calls.append(("attach", name, user))


def test_a_job_may_use_the_bucket_of_the_lake_and_nothing_else() -> None:
    resources = [
        resource
        for statement in jobs_policy("data-lake")["Statement"]
        for resource in statement["Resource"]
    ]
    assert resources == ["arn:aws:s3:::data-lake", "arn:aws:s3:::data-lake/*"]
    actions = [name for part in jobs_policy("data-lake")["Statement"] for name in part["Action"]]
    assert all(name.startswith("s3:") and "*" not in name for name in actions)
    assert not [name for name in actions if "Policy" in name or name == "s3:DeleteBucket"]


def test_an_account_gets_its_policy_and_its_password() -> None:
    admin = FakeAdmin()
    set_jobs_account(ROOT, "secret-of-jobs", admin)  # type: ignore[arg-type]
    assert admin.calls == [
        ("127.0.0.1:9", False),
        ("policy", "profiles-jobs", jobs_policy("data-lake")),
        ("user", "profiles-jobs", "secret-of-jobs"),
        ("attach", "profiles-jobs", "profiles-jobs"),
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MinioAdminException("400", "too short"), "MINIO_JOBS_PASSWORD in .env"),
        (MaxRetryError(PoolManager(), "/"), "Run `make up`"),  # type: ignore[arg-type]
    ],
)
def test_an_error_names_the_next_action(error: Exception, message: str) -> None:
    with pytest.raises(LakeUnavailableError, match=message) as failure:
        set_jobs_account(ROOT, "secret-of-jobs", FakeAdmin(error))  # type: ignore[arg-type]
    assert "hidden" not in str(failure.value)
    assert "secret-of-jobs" not in str(failure.value)
