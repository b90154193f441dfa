"""Read customer profiles from the lake with Polars and print the best customers.

Run it from the project's folder, after `make process`:

    python -m examples.read_the_lake --top 5

Polars reads the Parquet files directly from MinIO, through the S3 protocol. It fetches only the
columns that the query needs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import polars as pl

from customer_profiles.common.cli import run_command
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.settings import LakeSettings, load_environ
from customer_profiles.lake.s3 import S3Config


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Print the customers with the highest revenue.

    Args:
        arguments: of the command line, without the program's name.
        environ: the settings; those of `.env` and the environment by default.

    Returns:
        The exit status.

    Raises:
        PipelineError: the settings are not usable, or the lake does not answer or has no profiles.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--top", type=int, default=10, help="number of customers (default: 10)")
    options = parser.parse_args(arguments)

    settings = LakeSettings.from_env(load_environ() if environ is None else environ)
    profiles = scan_profiles(S3Config.from_settings(settings))
    try:
        customers = best_customers(profiles, options.top).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PipelineError(
            f"The profiles cannot be read: {error}.\n"
            "Run `make status` to see whether MinIO runs, and `make process` to build profiles."
        ) from error
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True):
        print(customers)
    return 0


def scan_profiles(config: S3Config) -> pl.LazyFrame:
    """Describe a query over all profiles; nothing is read before `collect`.

    Args:
        config: address and keys of MinIO.

    Returns:
        The columns of `PROFILE_SCHEMA`, and `bucket` from the names of the objects.
    """
    return pl.scan_parquet(
        f"s3://{config.bucket}/customer_profiles/",
        storage_options={
            "aws_access_key_id": config.access_key,
            "aws_secret_access_key": config.secret_key,
            "aws_endpoint_url": f"http://{config.address}",
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        },
    )


def best_customers(profiles: pl.LazyFrame, top: int) -> pl.LazyFrame:
    """Select the customers with the highest revenue.

    Args:
        profiles: the columns of `PROFILE_SCHEMA`.
        top: how many customers to select.

    Returns:
        `user_id`, `customer_segment`, `total_purchases`, `total_revenue`, `favorite_brand`; the
        highest revenue first, and the smaller `user_id` first where it is equal.
    """
    return (
        profiles.select(
            "user_id", "customer_segment", "total_purchases", "total_revenue", "favorite_brand"
        )
        .sort(["total_revenue", "user_id"], descending=[True, False])
        .head(top)
    )


if __name__ == "__main__":
    sys.exit(run_command(main, interrupted="Stopped."))
