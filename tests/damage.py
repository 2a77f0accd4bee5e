"""Files as bad disks, half transfers and wrong programs leave them: damage by a seed."""

import random


def damaged(data: bytes, seed: int) -> bytes:
    """`data` with one to four wounds, the same for the same seed; never `data` itself."""
    chance = random.Random(seed)
    wounded = data
    while wounded == data:
        for _ in range(chance.randint(1, 4)):
            wounded = chance.choice(WOUNDS)(wounded, chance)
    return wounded


def _flip_bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(data), chance.choice((1, 8, 64)))):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _take_out(data: bytes, chance: random.Random) -> bytes:
    begin, end = _part(data, chance)
    return data[:begin] + data[end:]


def _swap_parts(data: bytes, chance: random.Random) -> bytes:
    first, second, third = sorted(chance.randint(0, len(data)) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def _insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randint(0, len(data))
    return data[:place] + chance.randbytes(chance.choice((1, 4, 100))) + data[place:]


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    begin, end = _part(data, chance)
    return data[:begin] + chance.randbytes(end - begin) + data[end:]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    begin, end = _part(data, chance)
    return data[:end] + data[begin:end] + data[end:]


def _part(data: bytes, chance: random.Random) -> tuple[int, int]:
    """Where a part of at most 200 bytes begins and ends."""
    begin = chance.randint(0, len(data))
    return begin, min(len(data), begin + chance.randint(1, 200))


WOUNDS = (_flip_bits, _cut, _take_out, _swap_parts, _insert, _overwrite, _repeat)
