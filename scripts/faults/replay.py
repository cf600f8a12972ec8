"""Makes the disks that a power cut could have left, out of a log of block writes (dm-log-writes format 1).

    replay.py LOG points                         how many entries the log has, and at which of them something was flushed
    replay.py LOG disk BASE OUT ENTRY SEED       BASE with the first ENTRY entries written, and the log's length up to
                                                 there. With a SEED other than 0, each entry behind the last flush is
                                                 left out with a probability of one half, for a disk may write what was
                                                 not flushed in any order
"""

import random
import shutil
import struct
import sys

FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
MAGIC = 0x6A736677736872


def entries(log):
    """(offset on the disk, data or None, flags, end in the log) of each entry."""
    magic, version, count, sector = struct.unpack("<QQQI", log.read(28))
    assert (magic, version) == (MAGIC, 1), "no log of block writes"
    at = sector
    for _ in range(count):
        log.seek(at)
        head = log.read(32)
        if len(head) < 32:
            return
        where, sectors, flags, _ = struct.unpack("<QQQQ", head)
        at += sector
        data = None
        if not flags & (DISCARD | MARK) and sectors:
            data = log.read(sector - 32) and log.read(sectors * sector)
            at += sectors * sector
        yield where * sector, sectors * sector, data, flags, at


def main(path, what, *rest):
    with open(path, "rb") as log:
        everything = list(entries(log))
    if what == "points":
        print(len(everything), *(index for index, entry in enumerate(everything, 1) if entry[3] & FLUSH))
        return
    base, out, last, seed = rest[0], rest[1], int(rest[2]), int(rest[3])
    chosen = everything[:last]
    flushed = max((index for index, entry in enumerate(chosen) if entry[3] & FLUSH), default=-1)
    dice = random.Random(seed * 1_000_003 + last)
    shutil.copyfile(base, out)
    with open(out, "r+b") as disk:
        for index, (where, length, data, flags, _) in enumerate(chosen):
            may_be_lost = seed and index > flushed and not flags & FUA
            if may_be_lost and dice.random() < 0.5:
                continue
            disk.seek(where)
            if data is not None:
                disk.write(data)
            elif flags & DISCARD:
                disk.write(bytes(length))
    print(chosen[-1][4] if chosen else 0)


main(*sys.argv[1:])
