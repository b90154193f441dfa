"""Synthetic events: sessions of customers over five months, with the flaws of the real file."""

from __future__ import annotations

import numpy as np
import polars as pl

from scripts.sample.catalogue import make_catalogue
from scripts.sample.drawing import Ints, cover
from scripts.sample.kinds import choose_event_types
from scripts.sample.published import (
    FIRST,
    LAST,
    MONTH_ROWS,
    MONTHS,
    NO_SESSION,
    NO_SESSION_CARTS,
    NO_SESSION_REPEATS,
    REPEATED_CARTS,
    REPEATED_GROUPS,
    REPEATED_PURCHASES,
    REPEATS,
    SESSIONS,
    SHARED_SESSIONS,
    USERS,
    Scale,
)

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def make_events(rows: int, seed: int) -> pl.DataFrame:
    """Make synthetic events, in the order of their times.

    Args:
        rows: how many events, repeats included. Counts are in proportion to the real file's.
        seed: the same seed and rows give the same events.

    Returns:
        The nine columns of a source file, all String. `category_code`, `brand` and
        `user_session` have nulls.

    Raises:
        ValueError: `rows` is below 1.
    """
    if rows < 1:
        raise ValueError(f"{rows} rows cannot be made: at least 1")
    scale = Scale(rows)
    rng = np.random.default_rng(seed)
    distinct = rows - scale.of(REPEATS)
    sessions = min(scale.at_least_one(SESSIONS + SHARED_SESSIONS), distinct)
    users = min(scale.at_least_one(USERS), sessions)

    session_weights = np.minimum(rng.pareto(1.6, sessions), 60) + 0.05
    session = np.sort(cover(rng, sessions, distinct, session_weights))
    user_weights = np.minimum(rng.pareto(1.3, users), 120) + 0.02
    user_of_session = cover(rng, users, sessions, user_weights)
    user = user_of_session[session]
    moment = _moments(rng, session, sessions)
    product, catalogue = make_catalogue(rng, scale, distinct)
    kind = choose_event_types(rng, scale, user, catalogue["price"].to_numpy()[product])
    columns = {"moment": moment, "kind": kind, "product": product, "user": user}
    events = pl.DataFrame({**columns, "session": session})
    events = _repeat_rows(rng, scale, _drop_sessions(rng, scale, events))
    events = events.sort("moment", "session", maintain_order=True)
    session_ids = _session_ids(rng, scale, user_of_session)
    user_ids = 1_515_915_625_000_000_000 + np.cumsum(rng.integers(1, 2_000_000, users))
    return _as_text(events, catalogue, session_ids, pl.Series(user_ids))


def _moments(rng: np.random.Generator, session: Ints, sessions: int) -> Ints:
    """Give each row its time, in seconds since 1970.

    A session begins by month and hour. Its events follow each other within minutes.
    """
    edges = np.array([np.datetime64(month, "s") for month in (*MONTHS, "2021-03")]).astype(np.int64)
    edges[0], edges[-1] = FIRST.astype(np.int64), LAST.astype(np.int64) + 1
    month = rng.choice(len(MONTHS), sessions, p=np.array(MONTH_ROWS) / sum(MONTH_ROWS))
    begin = edges[month] + (rng.random(sessions) * (edges[month + 1] - edges[month])).astype(
        np.int64
    )
    # People shop by day: two thirds of the night's sessions move half a day on in their month.
    hour = begin // 3600 % 24
    later = (hour < 6) & (rng.random(sessions) < 0.66) & (begin + 43_200 < edges[month + 1])
    begin = np.where(later, begin + 43_200, begin)
    passed = np.cumsum(1 + rng.exponential(70, len(session)).astype(np.int64))
    starts = np.searchsorted(session, np.arange(sessions))
    passed -= passed[starts][session]
    ends = np.append(starts[1:], len(session)) - 1
    begin = np.minimum(begin, edges[-1] - 1 - passed[ends])
    moment = begin[session] + passed
    moment[np.argmin(moment)], moment[np.argmax(moment)] = edges[0], edges[-1] - 1
    return np.asarray(moment, np.int64)


def _pick_rows(
    rng: np.random.Generator, events: pl.DataFrame, condition: pl.Expr, count: int
) -> Ints:
    """Draw up to `count` different rows that meet a condition."""
    rows = events.select(pl.arg_where(condition)).to_series().to_numpy()
    return rng.choice(rows, min(count, len(rows)), replace=False).astype(np.int64)


def _drop_sessions(rng: np.random.Generator, scale: Scale, events: pl.DataFrame) -> pl.DataFrame:
    """Mark the rows that lack their session."""
    carts = scale.of(NO_SESSION_CARTS)
    views = scale.of(NO_SESSION) - scale.of(NO_SESSION_REPEATS) - carts
    # Take rows of long sessions, so that no session disappears.
    long = pl.len().over("session") > 2
    picked = [
        _pick_rows(rng, events, (pl.col("kind") == kind) & long, count)
        for kind, count in (("view", views), ("cart", carts))
    ]
    rows = pl.int_range(pl.len()).is_in(np.concatenate(picked))
    return events.with_columns(rows.alias("no_session"))


def _repeat_rows(rng: np.random.Generator, scale: Scale, events: pl.DataFrame) -> pl.DataFrame:
    """Append exact repeats. A few rows repeat twice, and three of them lack their session."""
    groups, copies = scale.of(REPEATED_GROUPS), scale.of(REPEATS)
    no_session = scale.of(NO_SESSION_REPEATS)
    carts, purchases = scale.of(REPEATED_CARTS), scale.of(REPEATED_PURCHASES)
    has_session = ~pl.col("no_session")
    views = max(0, groups - no_session - carts - purchases)
    picked = [
        _pick_rows(rng, events, (pl.col("kind") == "view") & ~has_session, no_session),
        _pick_rows(rng, events, (pl.col("kind") == "cart") & has_session, carts),
        _pick_rows(rng, events, (pl.col("kind") == "purchase") & has_session, purchases),
        _pick_rows(rng, events, (pl.col("kind") == "view") & has_session, views),
    ]
    repeats = np.concatenate(picked)
    repeats = np.concatenate([repeats, picked[3][: max(0, copies - len(repeats))]])
    missing = copies - len(repeats)
    if missing > 0:
        repeats = np.concatenate([repeats, rng.choice(events.height, missing)])
    return pl.concat([events, events[repeats]])


def _session_ids(rng: np.random.Generator, scale: Scale, user_of_session: Ints) -> pl.Series:
    """Name each session by ten letters and digits. Some pairs of customers share a session id."""
    sessions = len(user_of_session)
    letters = np.frombuffer(ALPHABET, dtype="S1")
    names = letters[rng.integers(0, len(letters), (sessions, 10))].view("S10").ravel()
    shared = min(scale.of(SHARED_SESSIONS), sessions // 2)
    pairs = rng.choice(sessions, (shared, 2), replace=False)
    pairs = pairs[user_of_session[pairs[:, 0]] != user_of_session[pairs[:, 1]]]
    names[pairs[:, 0]] = names[pairs[:, 1]]
    return pl.Series(names).cast(pl.String)


def _as_text(
    events: pl.DataFrame, catalogue: pl.DataFrame, session_ids: pl.Series, user_ids: pl.Series
) -> pl.DataFrame:
    """Write each event as the nine texts of a row of the source file."""
    times = (events["moment"] * 1000).cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%d %H:%M:%S UTC")
    sessions = session_ids[events["session"].to_numpy()]
    products = catalogue[events["product"].to_numpy()]
    return products.select(
        times.alias("event_time"),
        events["kind"].alias("event_type"),
        pl.col("product_id").cast(pl.String),
        pl.col("category_id").cast(pl.String),
        "category_code",
        "brand",
        pl.col("price").cast(pl.Decimal(12, 2)).cast(pl.String),
        user_ids[events["user"].to_numpy()].cast(pl.String).alias("user_id"),
        pl.when(events["no_session"]).then(None).otherwise(sessions).alias("user_session"),
    )
