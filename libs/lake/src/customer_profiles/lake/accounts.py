"""The account of jobs in MinIO: the lake's bucket and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from urllib3.exceptions import HTTPError

from customer_profiles.lake.errors import LakeUnavailableError
from customer_profiles.lake.s3_config import S3Config

JOBS = "profiles-jobs"
"""The account of jobs, and the name of its policy."""


def jobs_policy(bucket: str) -> dict[str, Any]:
    """Return what the account of jobs may do, as a policy of S3.

    Args:
        bucket: the S3 bucket of the lake.
    """
    arn = f"arn:aws:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:CreateBucket", "s3:GetBucketLocation", "s3:ListBucket"],
                "Resource": [arn],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": [f"{arn}/*"],
            },
        ],
    }


def set_jobs_account(
    root: S3Config, password: str, connect: Callable[..., MinioAdmin] = MinioAdmin
) -> None:
    """Create the account of jobs, or set its password and policy again.

    Args:
        root: the connection, with the keys of MinIO's root.
        password: the account's secret key; MinIO takes 8 to 40 characters.
        connect: creates the client.

    Raises:
        LakeUnavailableError: MinIO does not answer, or refuses.
    """
    keys = StaticProvider(root.access_key, root.secret_key)
    admin = connect(endpoint=root.address, credentials=keys, secure=False)
    try:
        admin.policy_add(JOBS, policy=jobs_policy(root.bucket))
        admin.user_add(JOBS, password)
        admin.policy_set(JOBS, user=JOBS)
    except MinioAdminException as error:
        raise LakeUnavailableError(
            f"MinIO on {root.address} refused to create the account {JOBS}: {error}.\n"
            "Correct MINIO_JOBS_PASSWORD in .env, which has to have 8 to 40 characters, and run "
            "`make up` again."
        ) from error
    except HTTPError as error:
        raise LakeUnavailableError(
            f"MinIO does not answer on {root.address}.\n"
            "Run `make up` to start the stack, or `make status`."
        ) from error
