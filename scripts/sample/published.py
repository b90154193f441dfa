"""The published counts of the real file, which the synthetic one reproduces.

Several people published these counts of the REES46 electronics store (Open CDP, on Kaggle as
`mkechinov/ecommerce-events-history-in-electronics-store`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REAL_ROWS = 885_129
USERS = 407_283
BUYERS = 21_304
SESSIONS = 490_398
SHARED_SESSIONS = 214
"""Session ids that two customers have in common."""
PRODUCTS = 53_453
CATEGORIES = 718
BRANDS = 999
PRICES = 12_422
"""Distinct prices."""
CARTS = 54_035
PURCHASES = 37_346
REVENUE = 5_125_395.62
NO_CATEGORY_CODE = 236_219
NO_BRAND = 212_364
NO_SESSION = 165
NO_SESSION_CARTS = 6
NO_SESSION_REPEATS = 3
REPEATS = 655
"""Rows that repeat an earlier row exactly."""
REPEATED_GROUPS = 629
"""Distinct rows that are repeated at least once."""
REPEATED_CARTS = 3
REPEATED_PURCHASES = 3
PRICE_QUARTILES = (21.98, 52.90, 130.0)
PRICE_TAIL = 1.16
"""How steeply the logarithm of prices rises above the upper quartile. It gives the mean of 115."""
PRICE_RANGE = (0.37, 64_771.06)
FIRST, LAST = np.datetime64("2020-09-24T11:57:06"), np.datetime64("2021-02-28T23:59:09")
MONTHS = ("2020-09", "2020-10", "2020-11", "2020-12", "2021-01", "2021-02")
MONTH_ROWS = (28, 161, 188, 153, 187, 167)
"""Thousands of rows in each month."""

CATEGORY_CODES = {
    "accessories": "bag wallet umbrella",
    "apparel": "glove costume shirt trousers shoes.keds",
    "appliances": "environment.air_conditioner environment.air_heater environment.fan "
    "environment.vacuum environment.water_heater environment.climate iron ironing_board "
    "kitchen.blender kitchen.coffee_grinder kitchen.coffee_machine kitchen.dishwasher "
    "kitchen.fryer kitchen.grill kitchen.hob kitchen.hood kitchen.juicer kitchen.kettle "
    "kitchen.meat_grinder kitchen.microwave kitchen.mixer kitchen.oven kitchen.refrigerators "
    "kitchen.steam_cooker kitchen.toster kitchen.washer personal.hair_cutter personal.massager "
    "personal.scales sewing_machine steam_cleaner",
    "auto": "accessories.alarm accessories.anti_freeze accessories.compressor accessories.light "
    "accessories.parktronic accessories.player accessories.radar accessories.videoregister",
    "computers": "components.cdrw components.cooler components.cpu components.hdd "
    "components.memory components.motherboard components.power_supply components.sound_card "
    "components.tv_tuner components.videocards desktop ebooks network.router notebook "
    "peripherals.camera peripherals.joystick peripherals.keyboard peripherals.monitor "
    "peripherals.mouse peripherals.printer peripherals.scanner gaming",
    "construction": "components.faucet tools.drill tools.generator tools.light tools.pump "
    "tools.saw tools.screw tools.soldering tools.welding",
    "country_yard": "cultivator furniture.bench lawn_mower weather_station",
    "electronics": "audio.acoustic audio.dictaphone audio.headphone audio.microphone "
    "audio.music_tools.piano audio.subwoofer calculator camera.photo camera.video clocks "
    "smartphone tablet telephone video.projector video.tv",
    "furniture": "bedroom.pillow kitchen.chair living_room.cabinet universal.light",
    "kids": "skates swing toys",
    "medicine": "tools.tonometer",
    "stationery": "cartrige paper",  # codespell:ignore cartrige
}
"""Categories below each top level, separated by spaces. The spelling is the shop's."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts of a file of `rows` rows, in proportion to those of the real file."""

    rows: int

    def of(self, count: int) -> int:
        """Return `count` in proportion, rounded."""
        return round(count * self.rows / REAL_ROWS)

    def at_least_one(self, count: int) -> int:
        """Return `count` in proportion, but at least 1."""
        return max(1, self.of(count))

    def at_most(self, count: int) -> int:
        """Return `count` in proportion, but at least 1 and at most `count`.

        More rows than the real file has are more customers of the same shop, not a larger shop.
        """
        return min(self.at_least_one(count), count)
