"""Messages that anybody could publish: valid ones, damaged in every way, from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

JSON_VALUES = [
    "null", "true", "false", "0", "-1", "-0", "5", "1e999", "-1e999", "1E400", "NaN", "Infinity",
    "1.5", "9" * 40, "9" * 4_400, str(2**63), str(2**64), '""', '" "', '"\\ud800"', '"\\udfff x"',
    '"\\u0000"', '"\\u001b]0;title\\u0007"', '"\\u009b31m"', '"\\u202e"', '"[/x]"', '"=1+1"',
    '"x\\ny"', '"\\ud83d\\ude42"', "[]", "[[]]", '["a", 5]', "[null]", '["\\ud800"]', "{}",
    '{"a": {"b": []}}', "[" * 200 + "]" * 200, '"' + "x" * 500 + '"', "", '"', "\\", "//",
    "'a'", "0x10", "01", '"2020-02-30T00:00:00Z"', '"ﬁ"', '"\u2028"',
]  # fmt: skip
"""Values of fields, most of them wrong."""
PIECES = [
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf", b"\x1b[2J", b"\xc2\x9b", b'"',
    b"\\", b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"\\ud800", b"null", b"\r\n", b"\t",
    b"9" * 30,
]  # fmt: skip
"""Bytes that are put into a message."""
WHOLE = [
    b"", b"null", b"[]", b"{}", b"5", b'""', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 1_500,
    b'{"a":' * 1_500, b"{" * 100, b"1e999", b"-", b"NaN", b"9" * 4_400, "{}".encode("utf-16"),
]  # fmt: skip
"""Whole messages, none of them valid."""
ENDLESS = [b"[" * 100_000, b'{"a":' * 100_000, b'"' + b"\\ud800" * 10_000 + b'"']
"""Large messages that made readers fail; each occurs once."""

Message = tuple[bytes | None, bytes | None]
"""Key and value."""


def poison(valid: Sequence[Message], count: int, seed: int) -> Iterator[Message]:
    """Yield valid messages and damaged ones, about one of ten of them as they were."""
    dice = random.Random(seed)  # noqa: S311
    fields = [list(json.loads(value or b"{}").items()) for _, value in valid]
    texts = [[(name, json.dumps(value)) for name, value in pairs] for pairs in fields]
    for number in range(count):
        index = dice.randrange(len(valid))
        key, value = valid[index]
        if number < len(ENDLESS):
            yield key, ENDLESS[number]
        elif dice.random() < 0.05:
            yield dice.choice([None, b"", b"\xff", b"0/-1", b"x", dice.randbytes(8)]), value
        else:
            yield key, _damaged(dice, value or b"", texts[index])


def _damaged(dice: random.Random, value: bytes, fields: Sequence[tuple[str, str]]) -> bytes | None:
    place = dice.randrange(len(value))
    match dice.randrange(10):
        case 0:
            return value
        case 1:
            return None if dice.random() < 0.1 else dice.choice(WHOLE)
        case 2:
            return value[:place]
        case 3:
            return value[:place] + dice.randbytes(dice.randrange(1, 5)) + value[place + 1 :]
        case 4:
            return value[:place] + dice.choice(PIECES) + value[place:]
        case 5:
            return dice.randbytes(dice.randrange(100))
        case _:
            changed = list(fields)
            for _ in range(dice.choice((1, 1, 1, 2, 3))):
                place = dice.randrange(len(changed))
                name = changed[place][0]
                match dice.randrange(8):
                    case 0:
                        changed.append((name, dice.choice(JSON_VALUES)))
                    case 1 if len(changed) > 1:
                        del changed[place]
                    case _:
                        changed[place] = (name, dice.choice(JSON_VALUES))
            return ("{" + ",".join(f'"{name}":{text}' for name, text in changed) + "}").encode()
