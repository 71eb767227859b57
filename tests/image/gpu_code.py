#!/usr/bin/env python3
"""Says what code for NVIDIA's GPUs a program holds, for who built it: PROGRAM NUMBER, such as 87 for sm_87. Fails unless there is machine code and
assembly (PTX, which the board's driver compiles), all of it for that GPU.

Machine code lies in the ELF section `.nv_fatbin`, in containers as the `fatbinary` of CUDA 13 writes them: 0xBA55ED50, version, bytes of this head
(u16 each), bytes of what follows (u64), then parts: kind (u16; 1 is PTX, 2 machine code), version (u16), bytes of this head (u32), bytes of
the part (u64), and at byte 28 the GPU's number (u32)."""

import collections
import re
import struct
import sys

MARK = 0xBA55ED50
KINDS = {1: "assembly", 2: "machine code"}


def section(elf, wanted):
    """The bytes of the section `wanted` of a 64-bit little-endian ELF file; none where it has no such section."""
    table, = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", elf, table + size * index) for index in range(count)]
    for name, _, _, _, offset, length in heads:
        start = heads[names][4] + name
        if elf[start : elf.index(b"\0", start)] == wanted:
            return elf[offset : offset + length]
    return b""


def parts(containers):
    """Kind and GPU of every part of every container."""
    at = 0
    while at < len(containers):
        mark, _, head, length = struct.unpack_from("<IHHQ", containers, at)
        if mark != MARK:
            # Containers begin at multiples of eight, with zeros between.
            if mark != 0:
                sys.exit(f"at byte {at} of .nv_fatbin is no container")
            at += 4
            continue
        part, at = at + head, at + head + length
        while part < at:
            kind, _, part_head, part_length = struct.unpack_from("<HHIQ", containers, part)
            gpu, = struct.unpack_from("<I", containers, part + 28)
            yield KINDS.get(kind, f"kind {kind}"), gpu
            part += part_head + part_length


def main():
    path, wanted = sys.argv[1], int(sys.argv[2])
    with open(path, "rb") as file:
        elf = file.read()
    found = collections.Counter(parts(section(elf, b".nv_fatbin")))
    # What candle hands to the driver is text.
    found.update(("assembly", int(gpu)) for gpu in re.findall(rb"\n\.target sm_(\d+)", elf))
    for (kind, gpu), count in sorted(found.items()):
        print(f"{count} x {kind} for sm_{gpu}")
    if set(found) != {(kind, wanted) for kind in KINDS.values()}:
        sys.exit(f"{path} should hold {' and '.join(KINDS.values())} for sm_{wanted} and nothing else")


main()
