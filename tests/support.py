"""Helpers that many tests share: rows, events, an object store in memory and the oracle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore, StoredObject
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.event_days import find_event_days
from customer_profiles.profiles.segments import read_segments

ROOT = Path(__file__).resolve().parent.parent
REAL_FILE = ROOT.parent / "shared" / "data" / "multi-category-2019-10.csv"
"""A file of real rows. Few machines have it."""

HEADER = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
)
GOOD_ROW = {
    "event_time": "2020-09-24 11:57:06 UTC",
    "event_type": "view",
    "product_id": "1996170",
    "category_id": "2144415922528452715",
    "category_code": "electronics.telephone",
    "brand": "",
    "price": "31.90",
    "user_id": "1515915625519388267",
    "user_session": "LJuJVLEjPT",
}


def row(**changes: str) -> dict[str, str]:
    """Return a valid row with some values changed."""
    return {**GOOD_ROW, **changes}


def line(**changes: str) -> str:
    """Return a valid row, with some values changed, as a line of CSV."""
    return ",".join(row(**changes).values())


def build_indexed(rows: pl.DataFrame, generated_at: datetime) -> pl.DataFrame:
    """Build profiles by the default rules, with what an index has beside them."""
    profiles = build_profiles(rows, read_segments(), generated_at)
    return profiles.join(find_event_days(rows), on="user_id", how="left")


def event(**changes: Any) -> dict[str, Any]:
    """Return an event with the columns that `build_profiles` needs."""
    values: dict[str, Any] = {
        "event_id": "e1",
        "event_time": datetime(2020, 9, 24, 11, 57, 6, tzinfo=UTC),
        "event_type": "view",
        "category_code": "electronics.telephone",
        "brand": None,
        "price": Decimal("31.90"),
        "user_id": "7",
        "user_session": "s1",
    }
    return {**values, **changes}


EVENT_COLUMNS: dict[str, Any] = {
    **dict.fromkeys(
        ["event_id", "event_type", "category_code", "brand", "user_id", "user_session"], pl.String
    ),
    "event_time": pl.Datetime("us", "UTC"),
    "price": pl.Decimal(18, 4),
}


def events(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return a frame of events, and number the `event_id` of each so that all are distinct."""
    numbered = [
        {**values, "event_id": values["event_id"] + f"-{number}"}
        for number, values in enumerate(rows)
    ]
    return pl.DataFrame(numbered, schema=EVENT_COLUMNS)


class MemoryObjectStore(ObjectStore):
    """An object store in memory that can fail like a run that is killed."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.attributes: dict[str, dict[str, str]] = {}
        """What each object says about itself; none for objects that a test puts in `objects`."""
        self.etags: dict[str, str] = {}
        """ETags of objects whose content changed without the server noticing."""
        self._writes_left: int | None = None

    def ensure_bucket(self) -> None:
        """Do nothing: memory is there."""

    def stop_after(self, writes: int | None) -> None:
        """Allow this many more writes and deletions, then fail. None allows all of them."""
        self._writes_left = writes

    def _get(self, name: str) -> StoredObject | None:
        data = self.objects.get(name)
        if data is None:
            return None
        return StoredObject(data, self._etag(name), dict(self.attributes.get(name, {})))

    def head(self, name: str) -> ObjectInfo | None:
        stored = self._get(name)
        return stored and ObjectInfo(len(stored.data), stored.etag, stored.attributes)

    def _put(
        self,
        name: str,
        data: bytes,
        attributes: Mapping[str, str],
        *,
        if_match: str | None,
        if_absent: bool,
    ) -> str:
        self._count_write()
        stored = self.objects.get(name)
        changed = if_match is not None and (stored is None or self._etag(name) != if_match)
        if changed or (if_absent and stored is not None):
            raise WriteConflictError(name)
        self.objects[name] = data
        self.attributes[name] = dict(attributes)
        self.etags.pop(name, None)
        return self._etag(name)

    def list_objects(self, prefix: str) -> dict[str, ObjectInfo]:
        names = sorted(name for name in self.objects if name.startswith(prefix))
        return {name: ObjectInfo(len(self.objects[name]), self._etag(name)) for name in names}

    def delete(self, name: str) -> None:
        self._count_write()
        self.objects.pop(name, None)
        self.attributes.pop(name, None)
        self.etags.pop(name, None)

    def _etag(self, name: str) -> str:
        return self.etags.get(name) or hashlib.sha256(self.objects[name]).hexdigest()

    def _count_write(self) -> None:
        if self._writes_left is not None:
            if not self._writes_left:
                raise InterruptedError
            self._writes_left -= 1


def oracle(csv: Path) -> pl.DataFrame:
    """Compute profiles from the CSV with an independent DuckDB query, without the run's fields."""
    profiles = duckdb.sql(
        f"""
        with raw as (select * from read_csv('{csv}', all_varchar = true, header = true)),
        rows as (
            select distinct * replace (price::decimal(18, 4) as price),
                strptime(event_time, '%Y-%m-%d %H:%M:%S UTC') as moment
            from raw where user_session is not null
        ),
        favorites as (
            select user_id,
                (select category_code from rows c where c.user_id = u.user_id
                 and category_code is not null
                 group by 1 order by count(*) desc, 1 limit 1) as favorite_category,
                (select brand from rows b where b.user_id = u.user_id and brand is not null
                 group by 1 order by count(*) desc, 1 limit 1) as favorite_brand
            from (select distinct user_id from rows) u
        ),
        sums as (
            select user_id, count(*) as total_events,
                count(distinct user_session) as total_sessions,
                count(*) filter (event_type = 'purchase') as total_purchases,
                count(*) filter (event_type = 'view') as total_product_views,
                count(*) filter (event_type = 'cart') as total_cart_additions,
                coalesce(sum(price) filter (event_type = 'purchase'), 0)::decimal(18, 2)
                    as total_revenue,
                round(100.0 * count(*) filter (event_type = 'purchase') / count(*), 2)::double
                    as conversion_rate,
                sum(price) filter (event_type = 'purchase') as exact_revenue,
                count(distinct moment::date) as days_active,
                list_sort(list(distinct moment::date)) as event_days, min(moment) as first_seen,
                max(moment) as last_seen
            from rows group by user_id
        )
        select user_id,
            case when total_revenue >= 1000 then 'High Value'
                when total_revenue >= 500 then 'Medium Value'
                when total_purchases >= 1 then 'Converting Customer' when total_cart_additions >= 1
                then 'Interested Shopper' when total_product_views >= 10 then 'Active Browser'
                else 'Casual Visitor' end as customer_segment,
            sums.* exclude user_id, favorite_category, favorite_brand
        from sums join favorites using (user_id) order by user_id
        """
    ).pl()
    # DuckDB divides decimals as binary floats, which cannot be rounded to the cent.
    averages = [
        None
        if revenue is None
        else (Decimal(revenue) / purchases).quantize(Decimal("0.01"), ROUND_HALF_UP)
        for revenue, purchases in profiles.select("exact_revenue", "total_purchases").iter_rows()
    ]
    return profiles.drop("exact_revenue").with_columns(
        pl.Series("avg_order_value", averages, pl.Decimal(18, 2))
    )
