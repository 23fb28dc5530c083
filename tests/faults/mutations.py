"""Seeded damage to bytes, text and JSON values, in the ways that files really go wrong and in some that they do not."""

from __future__ import annotations

import copy
import json
import re
from random import Random
from typing import Any

HUGE = "9" * 5000
NUMBERS = ("0", "-1", "1", "65536", "2147483648", "-9223372036854775809", "1e999", "1e-999", "nan", "-inf", "0x10", "1_0", "", "٣",
           HUGE)
STRANGE = ("\0", "\ufeff", "é", "心電図", "\u2028", "\x85", "\x1c", "\u202e", "\ud800", "%", "'", '"', "\\", "#", ":", "&a ", "*a",
           "!!int ", "\t", " ", "/", "../", "+", "(", ")", "\r", "\n")
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "\0", "\ud800", "../x",
    "/dev/zero", ".", "x" * 10_000, [], {}, [[]], [None], {"": None}, [1, "a"], [float("nan")] * 9, ["0.5"] * 9)
DEEP = 50_000


def span(random: Random, length: int, most: int) -> tuple[int, int]:
    """Start and end of a random piece of at most `most` out of `length`."""
    start = random.randrange(length + 1)
    return start, min(length, start + random.randint(1, most))


def mutate_bytes(random: Random, data: bytes) -> bytes:
    """One to three damages: bits, bytes, edge values of aligned words, pieces cut out, doubled, exchanged or made random, an early end."""
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind, length = random.randrange(8), len(data)
        start, end = span(random, length, 64)
        if kind == 0 and length:
            data[random.randrange(length)] ^= 1 << random.randrange(8)
        elif kind == 1 and length:
            data[random.randrange(length)] = random.randrange(256)
        elif kind == 2 and length >= 4:
            word = random.randrange(min(length // 4, 64)) * 4           # sizes and types stand near the start
            data[word:word + 4] = random.choice(EDGES).to_bytes(4, random.choice(("little", "big")))
        elif kind == 3:
            del data[start:end]
        elif kind == 4:
            data[start:start] = data[start:end] * random.choice((1, 1, 2, 100))
        elif kind == 5:
            piece = bytes(data[start:end])
            del data[start:end]
            place = random.randrange(len(data) + 1)
            data[place:place] = piece
        elif kind == 6:
            data[start:end] = random.randbytes(random.randint(0, 64))
        else:
            del data[random.randrange(length + 1):]
    return bytes(data)


def mutate_text(random: Random, data: bytes) -> bytes:
    """One to three damages: of bytes, or of what a text is made of: numbers, words, lines, signs, nesting."""
    if random.random() < 0.25:
        return mutate_bytes(random, data)
    text = data.decode("utf-8")
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        text = _text_once(random, text)
    return text.encode("utf-8", "surrogatepass")


def _text_once(random: Random, text: str) -> str:
    kind = random.randrange(8)
    if kind == 0:                               # one digit becomes another
        places = [match.start() for match in re.finditer(r"\d", text)]
        return _replaced(text, random.choice(places), 1, random.choice("0123456789-. ")) if places else text
    if kind == 1:                               # one number becomes another
        numbers = list(re.finditer(r"-?\d+(?:\.\d+)?", text))
        if not numbers:
            return text
        number = random.choice(numbers)
        return _replaced(text, number.start(), len(number[0]), random.choice(NUMBERS))
    if kind == 2:                               # one word becomes another of the same text
        words = list(re.finditer(r"\w+", text))
        if len(words) < 2:
            return text
        word, other = random.sample(words, 2)
        return _replaced(text, word.start(), len(word[0]), other[0])
    if kind == 3:                               # lines change places, go, or stand twice
        lines = text.splitlines(keepends=True) or [""]
        one, two = random.randrange(len(lines)), random.randrange(len(lines))
        if (way := random.randrange(3)) == 0:
            lines[one], lines[two] = lines[two], lines[one]
        elif way == 1:
            del lines[one]
        else:
            lines.insert(one, lines[two] * random.choice((1, 1, 300)))
        return "".join(lines)
    place = random.randrange(len(text) + 1)
    if kind == 4:
        return _replaced(text, place, random.choice((0, 1)), random.choice(STRANGE))
    if kind == 5:
        return _replaced(text, place, 0, random.choice(STRANGE) * random.choice((2, 10, 2000)))
    if kind == 6:
        return text[:place]
    opening = random.choice(("[", "{", '{"a":', "- ", "(", "["))
    return _replaced(text, place, 0, opening * random.choice((3, 200, DEEP if random.random() < 0.02 else 20)))


def _replaced(text: str, start: int, length: int, new: str) -> str:
    return text[:start] + new + text[start + length:]


def mutate_value(random: Random, value: Any) -> Any:
    """A copy of a JSON value with one to three places anywhere in it replaced, removed, renamed, doubled or nested."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            break
        parent, key = random.choice(places)
        kind = random.randrange(6)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[random.choice(("", "\0", "digest", str(key) + "x"))] = parent.pop(key)
        elif kind == 2:
            parent[key] = [parent[key]] * random.choice((1, 2, 40))
        elif kind == 3:
            other, other_key = random.choice(places)
            parent[key] = copy.deepcopy(other[other_key])
        else:
            parent[key] = copy.deepcopy(random.choice(VALUES))
    return value


def _places(value: Any):
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def json_bytes(value: Any) -> bytes:
    """JSON as a careless program would write it: NaN and lone surrogates are let through."""
    return json.dumps(value).encode()
