"""Times as databases and data frames write them, read by whole columns.

`contracts.check_row` is the reference and reads more. A file whose times all have one of these
forms would otherwise cost a tenth of a millisecond for each row.
"""

from __future__ import annotations

import polars as pl

_TIME = (
    r"^([12][0-9]{3}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-5][0-9])"
    r"(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?(?: ?(UTC|GMT|Z|\+00(?::?00)?))?$"
)
"""A time in UTC: with a space or T, without seconds or with up to nine decimals of them."""


def contract_times(texts: pl.Series, strict: bool) -> pl.DataFrame:
    """Rewrite times in UTC as the contract has them.

    Args:
        texts: String.
        strict: read only what `contracts.check` reads.

    Returns:
        `time` String, such as `2020-09-24T11:57:06.5Z`, null where only the reference can tell what
        a text is; and `is_rewritten` Boolean, whether the reference counts it as a `time_format`.
    """
    groups = texts.str.extract_groups(_TIME).struct
    day, minute, second, fraction, zone = (groups.field(str(number)) for number in range(1, 6))
    parts = pl.select(day=day, minute=minute, second=second, fraction=fraction, zone=zone)
    whole = pl.concat_str(
        "day", pl.lit("T"), "minute", pl.lit(":"), pl.col("second").fill_null("00")
    )
    decimals = pl.col("fraction").str.head(6).str.strip_chars_end("0")
    is_rewritten = (
        pl.col("second").is_null()
        | (pl.col("fraction").str.len_bytes() > 6)
        | pl.col("zone").is_in(["GMT", "+00"])
    ).fill_null(False)
    exists = whole.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False).is_not_null()
    if strict:
        exists &= ~is_rewritten
    suffix = pl.when(decimals != "").then(pl.lit(".") + decimals).otherwise(pl.lit(""))
    time = pl.concat_str(whole, suffix, pl.lit("Z"))
    return parts.select(
        pl.when(exists).then(time).alias("time"), is_rewritten.alias("is_rewritten")
    )
