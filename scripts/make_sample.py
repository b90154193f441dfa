"""Make a synthetic file of events that behaves like the real one.

The counts are those that several people published of the REES46 electronics store (Open CDP, on
Kaggle as `mkechinov/ecommerce-events-history-in-electronics-store`); a file of another length has
them in proportion. The same rows and seed give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

REAL_ROWS = 885_129
USERS = 407_283
BUYERS = 21_304
SESSIONS = 490_398
SHARED_SESSIONS = 214
PRODUCTS = 53_453
CATEGORIES = 718
BRANDS = 999
PRICES = 12_422
CARTS = 54_035
PURCHASES = 37_346
REVENUE = 5_125_395.62
NO_CATEGORY_CODE = 236_219
NO_BRAND = 212_364
NO_SESSION = 165
NO_SESSION_CARTS = 6
NO_SESSION_REPEATS = 3
REPEATS = 655
REPEATED_GROUPS = 629
REPEATED_CARTS = 3
REPEATED_PURCHASES = 3
PRICE_QUARTILES = (21.98, 52.90, 130.0)
PRICE_TAIL = 1.16
"""How steeply the logarithm of prices rises above the upper quartile: gives the mean of 115."""
PRICE_RANGE = (0.37, 64_771.06)
FIRST, LAST = np.datetime64("2020-09-24T11:57:06"), np.datetime64("2021-02-28T23:59:09")
MONTHS = ("2020-09", "2020-10", "2020-11", "2020-12", "2021-01", "2021-02")
MONTH_ROWS = (28, 161, 188, 153, 187, 167)

CATEGORY_CODES = {
    "accessories": "bag wallet umbrella",
    "apparel": "glove costume shirt trousers shoes.keds",
    "appliances": "environment.air_conditioner environment.air_heater environment.fan environment.vacuum "
    "environment.water_heater environment.climate iron ironing_board kitchen.blender kitchen.coffee_grinder "
    "kitchen.coffee_machine kitchen.dishwasher kitchen.fryer kitchen.grill kitchen.hob kitchen.hood kitchen.juicer "
    "kitchen.kettle kitchen.meat_grinder kitchen.microwave kitchen.mixer kitchen.oven kitchen.refrigerators "
    "kitchen.steam_cooker kitchen.toster kitchen.washer personal.hair_cutter personal.massager personal.scales "
    "sewing_machine steam_cleaner",
    "auto": "accessories.alarm accessories.anti_freeze accessories.compressor accessories.light "
    "accessories.parktronic accessories.player accessories.radar accessories.videoregister",
    "computers": "components.cdrw components.cooler components.cpu components.hdd components.memory "
    "components.motherboard components.power_supply components.sound_card components.tv_tuner components.videocards "
    "desktop ebooks network.router notebook peripherals.camera peripherals.joystick peripherals.keyboard "
    "peripherals.monitor peripherals.mouse peripherals.printer peripherals.scanner gaming",
    "construction": "components.faucet tools.drill tools.generator tools.light tools.pump tools.saw tools.screw "
    "tools.soldering tools.welding",
    "country_yard": "cultivator furniture.bench lawn_mower weather_station",
    "electronics": "audio.acoustic audio.dictaphone audio.headphone audio.microphone audio.music_tools.piano "
    "audio.subwoofer calculator camera.photo camera.video clocks smartphone tablet telephone video.projector "
    "video.tv",
    "furniture": "bedroom.pillow kitchen.chair living_room.cabinet universal.light",
    "kids": "skates swing toys",
    "medicine": "tools.tonometer",
    "stationery": "cartrige paper",
}
SYLLABLES = ("ba", "co", "di", "fe", "gu", "ka", "li", "mo", "na", "pi", "ro", "sa", "te", "vu", "xi", "ze")
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", dtype="S1")


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts of a file of `rows` rows, in proportion to the real one's."""

    rows: int

    def of(self, count: int) -> int:
        return round(count * self.rows / REAL_ROWS)

    def some(self, count: int) -> int:
        """As `of`, but at least one."""
        return max(1, self.of(count))

    def at_most(self, count: int) -> int:
        """As `some`, but no more than the real file has: more rows are more customers of the same shop."""
        return min(self.some(count), count)


def make_events(rows: int, seed: int) -> pl.DataFrame:
    """Synthetic events in the order of their time.

    Returns:
        The nine columns of a source, all String; `category_code`, `brand` and `user_session` with nulls.

    Raises:
        ValueError: fewer rows than one.
    """
    if rows < 1:
        raise ValueError(f"{rows} rows cannot be made: at least 1")
    scale = Scale(rows)
    rng = np.random.default_rng(seed)
    distinct = rows - scale.of(REPEATS)
    sessions = min(scale.some(SESSIONS + SHARED_SESSIONS), distinct)
    users = min(scale.some(USERS), sessions)

    session = np.sort(_cover(rng, sessions, distinct, np.minimum(rng.pareto(1.6, sessions), 60) + 0.05))
    user_of_session = _cover(rng, users, sessions, np.minimum(rng.pareto(1.3, users), 120) + 0.02)
    user = user_of_session[session]
    moment = _moments(rng, session, sessions)
    product, catalogue = _catalogue(rng, scale, distinct)
    price = catalogue["price"].to_numpy()[product]
    kind = _types(rng, scale, user, price)
    events = pl.DataFrame({"moment": moment, "kind": kind, "product": product, "user": user, "session": session})
    events = _repeat(rng, scale, _lose_sessions(rng, scale, events)).sort("moment", "session", maintain_order=True)
    return _as_text(rng, scale, events, catalogue, sessions, users, user_of_session)


def _cover(rng: np.random.Generator, things: int, draws: int, weights: Floats) -> Ints:
    """`draws` numbers below `things`: each once, the others by weight; in random order."""
    more = rng.choice(things, draws - things, p=weights / weights.sum()) if draws > things else np.empty(0, np.int64)
    drawn = np.concatenate([np.arange(min(things, draws)), more]).astype(np.int64)
    rng.shuffle(drawn)
    return drawn


def _moments(rng: np.random.Generator, session: Ints, sessions: int) -> Ints:
    """Seconds since 1970: a session begins by month and hour, its events follow within minutes."""
    edges = np.array([np.datetime64(month, "s") for month in (*MONTHS, "2021-03")]).astype(np.int64)
    edges[0], edges[-1] = FIRST.astype(np.int64), LAST.astype(np.int64) + 1
    month = rng.choice(len(MONTHS), sessions, p=np.array(MONTH_ROWS) / sum(MONTH_ROWS))
    begin = edges[month] + (rng.random(sessions) * (edges[month + 1] - edges[month])).astype(np.int64)
    # People shop by day: a third of the night's sessions move half a day on, inside their month.
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


def _catalogue(rng: np.random.Generator, scale: Scale, rows: int) -> tuple[Ints, pl.DataFrame]:
    """Which product each row shows, and the products with their category, brand and price."""
    products = min(scale.at_most(PRODUCTS), rows)
    popularity = 1 / (np.arange(products) + 8.0) ** 0.85
    rng.shuffle(popularity)
    product = _cover(rng, products, rows, popularity)
    shown = np.bincount(product, minlength=products)
    categories = min(CATEGORIES, products)
    category = _cover(rng, categories, products, 1 / (np.arange(categories) + 3.0))
    brands = _brand_names()
    brand = _cover(rng, len(brands), products, 1 / (np.arange(len(brands)) + 4.0) ** 0.9)
    codes = [f"{root}.{leaf}" for root, leaves in CATEGORY_CODES.items() for leaf in leaves.split()]
    order = rng.permutation(codes)
    price = _prices(rng, shown, min(scale.at_most(PRICES), products))
    identity = 100_000 + np.sort(rng.choice(4_200_000, products, replace=False))
    frame = pl.DataFrame(
        {
            "product_id": identity,
            "category_id": 2_144_415_921_000_000_000 + category * 1_234_567_891,
            "category_code": order[category % len(order)],
            "brand": np.array(brands)[brand],
            "price": price,
            "no_code": _flag(rng, shown, scale.of(NO_CATEGORY_CODE)),
            "no_brand": _flag(rng, shown, scale.of(NO_BRAND)),
        }
    )
    empty = pl.lit(None, pl.String)
    return product, frame.with_columns(
        pl.when("no_code").then(empty).otherwise("category_code").alias("category_code"),
        pl.when("no_brand").then(empty).otherwise("brand").alias("brand"),
    )


def _prices(rng: np.random.Generator, shown: Ints, kinds: int) -> Floats:
    """A price for each product, so that the rows that show them have the real distribution."""
    ladder = _ladder(kinds)
    order = rng.permutation(len(shown))
    share = np.empty(len(shown))
    share[order] = (np.cumsum(shown[order]) - shown[order] / 2) / shown.sum()
    step = np.minimum(np.searchsorted(ladder, _price_at(share)), len(ladder) - 1)
    # A product that is shown often steps over many prices: the least shown products take those.
    _, first = np.unique(step, return_index=True)
    spare = np.setdiff1d(np.arange(len(shown)), first)
    spare = spare[np.argsort(shown[spare], kind="stable")]
    unused = np.setdiff1d(np.arange(len(ladder)), step)[: len(spare)]
    step[spare[: len(unused)]] = unused
    return np.asarray(ladder[step])


def _ladder(kinds: int) -> Floats:
    """So many different prices, in cents, spread as rows are."""
    steps = kinds
    while True:
        prices = np.unique(np.round(_price_at((np.arange(steps) + 0.5) / steps), 2))
        if len(prices) >= kinds:
            break
        # Where prices are dense, several shares fall on one cent.
        steps += kinds - len(prices)
    prices = np.delete(prices, np.linspace(1, len(prices) - 2, len(prices) - kinds).astype(np.int64))
    prices[0], prices[-1] = PRICE_RANGE
    return prices


def _price_at(share: Floats) -> Floats:
    """The price below which this share of rows lies: two halves of a log-normal and a tail."""
    low, median, high = np.log(PRICE_QUARTILES)
    quarter = NormalDist().inv_cdf(0.75)
    z = np.array([NormalDist().inv_cdf(value) for value in share])
    logarithm = median + np.where(z < 0, (median - low), (high - median)) / quarter * z
    logarithm = np.where(z > quarter, high + PRICE_TAIL * (z - quarter), logarithm)
    return np.asarray(np.clip(np.exp(logarithm), *PRICE_RANGE))


def _brand_names() -> list[str]:
    count = len(SYLLABLES)
    return [
        SYLLABLES[number % count]
        + SYLLABLES[number // count % count]
        + SYLLABLES[(7 * number + number // 64) % count]
        + SYLLABLES[number // count**2 % count]
        for number in range(BRANDS)
    ]


def _flag(rng: np.random.Generator, shown: Ints, rows: int) -> NDArray[np.bool_]:
    """Products that together are shown in as nearly `rows` rows as can be."""
    flags = np.zeros(len(shown), bool)
    left = rows
    for number in rng.permutation(len(shown)):
        if shown[number] <= left:
            flags[number] = True
            left -= shown[number]
    return flags


def _types(rng: np.random.Generator, scale: Scale, user: Ints, price: Floats) -> NDArray[np.str_]:
    kind = np.full(len(user), "view", dtype="U8")
    purchases = min(scale.of(PURCHASES) - scale.of(REPEATED_PURCHASES), len(user))
    if purchases:
        kind[_purchases(rng, scale, user, price, purchases)] = "purchase"
    rest = np.flatnonzero(kind == "view")
    carts = min(scale.of(CARTS) - scale.of(REPEATED_CARTS), len(rest))
    kind[rng.choice(rest, carts, replace=False)] = "cart"
    return kind


def _purchases(rng: np.random.Generator, scale: Scale, user: Ints, price: Floats, purchases: int) -> Ints:
    """Rows that are purchases: so many buyers, so much revenue."""
    counts = np.bincount(user)
    buyers = min(scale.some(BUYERS), len(counts), purchases)
    weights = (counts > 0) * (counts.astype(float) ** 2)
    chosen = rng.choice(len(counts), buyers, replace=False, p=weights / weights.sum())
    of_buyers = rng.permutation(np.flatnonzero(np.isin(user, chosen)))
    _, first = np.unique(user[of_buyers], return_index=True)
    certain = of_buyers[first]
    others = np.delete(of_buyers, first)
    wanted = min(purchases - len(certain), len(others))
    if not wanted:
        return certain
    # The dearer a product, the likelier (or less likely) it is bought: the exponent that gives the revenue.
    dice = np.log(rng.random(len(others)))
    low, high = -2.0, 2.0
    picked = others[:wanted]
    for _ in range(30):
        lean = (low + high) / 2
        keys = dice / price[others] ** lean
        picked = others[np.argpartition(-keys, wanted - 1)[:wanted]]
        revenue = price[certain].sum() + price[picked].sum()
        low, high = (lean, high) if revenue < REVENUE * scale.rows / REAL_ROWS else (low, lean)
    return np.concatenate([certain, picked])


def _pick(rng: np.random.Generator, events: pl.DataFrame, condition: pl.Expr, count: int) -> Ints:
    places = events.select(pl.arg_where(condition)).to_series().to_numpy()
    return rng.choice(places, min(count, len(places)), replace=False).astype(np.int64)


def _lose_sessions(rng: np.random.Generator, scale: Scale, events: pl.DataFrame) -> pl.DataFrame:
    carts = scale.of(NO_SESSION_CARTS)
    views = scale.of(NO_SESSION) - scale.of(NO_SESSION_REPEATS) - carts
    # Of long sessions, so that no session is lost altogether.
    long = pl.len().over("session") > 2
    lost = [
        _pick(rng, events, (pl.col("kind") == kind) & long, count) for kind, count in (("view", views), ("cart", carts))
    ]
    places = pl.int_range(pl.len()).is_in(np.concatenate(lost))
    return events.with_columns(places.alias("no_session"))


def _repeat(rng: np.random.Generator, scale: Scale, events: pl.DataFrame) -> pl.DataFrame:
    """Exact repeats, a few of them twice, three of them of rows that lack their session."""
    groups, copies = scale.of(REPEATED_GROUPS), scale.of(REPEATS)
    lost, carts, purchases = (scale.of(n) for n in (NO_SESSION_REPEATS, REPEATED_CARTS, REPEATED_PURCHASES))
    has_session = ~pl.col("no_session")
    views = max(0, groups - lost - carts - purchases)
    picked = [
        _pick(rng, events, (pl.col("kind") == "view") & ~has_session, lost),
        _pick(rng, events, (pl.col("kind") == "cart") & has_session, carts),
        _pick(rng, events, (pl.col("kind") == "purchase") & has_session, purchases),
        _pick(rng, events, (pl.col("kind") == "view") & has_session, views),
    ]
    again = np.concatenate(picked)
    more = max(0, copies - len(again))
    again = np.concatenate([again, picked[3][:more]])
    missing = copies - len(again)
    if missing > 0:
        again = np.concatenate([again, rng.choice(events.height, missing)])
    return pl.concat([events, events[again]])


def _as_text(
    rng: np.random.Generator,
    scale: Scale,
    events: pl.DataFrame,
    catalogue: pl.DataFrame,
    sessions: int,
    users: int,
    user_of_session: Ints,
) -> pl.DataFrame:
    names = LETTERS[rng.integers(0, len(LETTERS), (sessions, 10))].view("S10").ravel()
    shared = min(scale.of(SHARED_SESSIONS), sessions // 2)
    pairs = rng.choice(sessions, (shared, 2), replace=False)
    pairs = pairs[user_of_session[pairs[:, 0]] != user_of_session[pairs[:, 1]]]
    names[pairs[:, 0]] = names[pairs[:, 1]]
    name = pl.Series(names).cast(pl.String)
    user_id = pl.Series(1_515_915_625_000_000_000 + np.cumsum(rng.integers(1, 2_000_000, users)))
    rows = catalogue[events["product"].to_numpy()]
    return rows.select(
        (events["moment"] * 1000).cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%d %H:%M:%S UTC").alias("event_time"),
        events["kind"].alias("event_type"),
        pl.col("product_id").cast(pl.String),
        pl.col("category_id").cast(pl.String),
        "category_code",
        "brand",
        pl.col("price").cast(pl.Decimal(12, 2)).cast(pl.String),
        user_id[events["user"].to_numpy()].cast(pl.String).alias("user_id"),
        pl.when(events["no_session"]).then(None).otherwise(name[events["session"].to_numpy()]).alias("user_session"),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make_sample.py", description="Make a synthetic file of events.")
    parser.add_argument("--rows", type=int, default=REAL_ROWS, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives another file (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("data/events.csv"), help="where to (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="also overwrite a file that is no sample")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    # Says that a file was made here: real events of the same name are not overwritten by accident.
    label = given.out.with_name(f".{given.out.name}.sample")
    try:
        if given.out.exists() and not label.exists() and not given.force:
            raise ValueError(f"{given.out} is there and was not made here; name another file, or add --force (FORCE=1)")
        events = make_events(given.rows, given.seed)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        beside = given.out.with_suffix(".new")
        events.write_csv(beside)
        label.write_text(f"rows={given.rows} seed={given.seed}\n")
        beside.replace(given.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size = given.out.stat().st_size
    print(f"{events.height:,} rows, {size / 1e6:.0f} MB, in {time.perf_counter() - began:.1f} s: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
