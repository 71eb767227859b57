#!/usr/bin/env python3
"""A disk with a memory of its own, as cards and SSDs have one, for power.sh: an NBD server over a file. What the machine writes counts only once it has
flushed; when the power goes, of what was not flushed some sectors are on the disk and some are not, whichever.

`store.py FILE SOCKET SEED`: serves FILE on the Unix socket. After SIGTERM the power goes at the worst moment there is, just before the next flush, at the
latest after two seconds: the machine (whoever is connected) is killed, and what was lost is printed as JSON.
"""

import contextlib
import json
import os
import random
import signal
import socket
import struct
import sys

SECTOR = 512
# Larger memories than this are rare; what does not fit goes to the disk, whatever it is.
SECTORS_MAX = 64 * 2048
# Larger stretches of zeros than this go to the disk at once.
ZEROS_MAX = 1 << 20
# So long a power cut waits for a flush that it can be before.
FLUSH_WAIT_S = 2
# NBD's protocol document, "fixed newstyle".
MAGIC, OPTION_MAGIC, REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
OPTION_EXPORT_NAME, OPTION_ABORT, OPTION_INFO, OPTION_GO = 1, 2, 6, 7
REPLY_ACK, REPLY_INFO, REPLY_UNSUPPORTED = 1, 3, 0x80000001
# Has flags, flush, force unit access, trim, write zeroes.
FLAGS = 1 | 4 | 8 | 32 | 64
REQUEST_MAGIC, SIMPLE_REPLY_MAGIC = 0x25609513, 0x67446698
READ, WRITE, DISCONNECT, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 2, 3, 4, 6
FORCE = 1


class PowerCut(Exception):
    """Comes up from wherever the disk is at work."""


class Store:
    def __init__(self, path, seed):
        self.file = os.open(path, os.O_RDWR)
        self.size = os.fstat(self.file).st_size
        self.random = random.Random(seed)
        # Sectors that were written and not flushed, in the order of their last writing.
        self.held = {}
        self.evicted, self.flushes = 0, 0
        # The machine's process, and whether its power is about to go.
        self.machine, self.is_doomed = None, False

    def read(self, offset, length):
        data = os.pread(self.file, length, offset)
        first, last = offset // SECTOR, (offset + length) // SECTOR
        if not self.held:
            return data
        if last - first <= len(self.held):
            hits = [sector for sector in range(first, last) if sector in self.held]
        else:
            hits = [sector for sector in self.held if first <= sector < last]
        if hits:
            data = bytearray(data)
            for sector in hits:
                place = sector * SECTOR - offset
                data[place : place + SECTOR] = self.held[sector]
        return data

    def write(self, offset, data):
        view = memoryview(data)
        for place in range(0, len(data), SECTOR):
            sector = (offset + place) // SECTOR
            self.held.pop(sector, None)
            self.held[sector] = bytes(view[place : place + SECTOR])
        if len(self.held) > SECTORS_MAX:
            # The oldest half.
            oldest = list(self.held)[: SECTORS_MAX // 2]
            self.evicted += len(oldest)
            self.keep(oldest)

    def zero(self, offset, length):
        if length <= ZEROS_MAX:
            return self.write(offset, bytes(length))
        first, last = offset // SECTOR, (offset + length) // SECTOR
        for sector in [sector for sector in self.held if first <= sector < last]:
            del self.held[sector]
        # Holes of the file are zeros already.
        place, end = offset, offset + length
        while place < end:
            try:
                place = os.lseek(self.file, place, os.SEEK_DATA)
            except OSError:
                return None
            hole = min(os.lseek(self.file, place, os.SEEK_HOLE), end)
            while place < hole:
                place += os.pwrite(self.file, bytes(min(ZEROS_MAX, hole - place)), place)
        return None

    def keep(self, sectors):
        """Puts them onto the disk, neighbors together."""
        run, start = [], None
        for sector in sorted(sectors):
            if run and sector != start + len(run):
                os.pwrite(self.file, b"".join(run), start * SECTOR)
                run = []
            if not run:
                start = sector
            run.append(self.held.pop(sector))
        if run:
            os.pwrite(self.file, b"".join(run), start * SECTOR)

    def flush(self):
        if self.is_doomed and self.held:
            raise PowerCut
        self.flushes += 1
        self.keep(list(self.held))

    def cut(self):
        """The power goes."""
        if self.machine:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.machine, signal.SIGKILL)
        sectors = list(self.held)
        part = self.random.random()
        kept = [sector for sector in sectors if self.random.random() < part]
        self.keep(kept)
        return {"unflushed_sectors": len(sectors), "kept": len(kept), "lost": len(sectors) - len(kept), "evicted": self.evicted,
                "flushes": self.flushes}


class Connection:
    def __init__(self, store, stream):
        self.store, self.stream = store, stream

    def take(self, length):
        data = bytearray(length)
        view, done = memoryview(data), 0
        while done < length:
            count = self.stream.recv_into(view[done:])
            if count == 0:
                raise EOFError
            done += count
        return data

    def shake_hands(self):
        """Whether there is to be an export."""
        self.stream.sendall(struct.pack("!QQH", MAGIC, OPTION_MAGIC, 3))
        self.take(4)
        while True:
            _, option, length = struct.unpack("!QII", self.take(16))
            self.take(length)
            about = struct.pack("!QH", self.store.size, FLAGS)
            if option == OPTION_EXPORT_NAME:
                self.stream.sendall(about)
                return True
            if option in (OPTION_INFO, OPTION_GO):
                self.reply(option, REPLY_INFO, struct.pack("!H", 0) + about)
                self.reply(option, REPLY_ACK)
                if option == OPTION_GO:
                    return True
            elif option == OPTION_ABORT:
                self.reply(option, REPLY_ACK)
                return False
            else:
                self.reply(option, REPLY_UNSUPPORTED)

    def reply(self, option, kind, data=b""):
        self.stream.sendall(struct.pack("!QIII", REPLY_MAGIC, option, kind, len(data)) + data)

    def serve(self):
        if not self.shake_hands():
            return
        store = self.store
        while True:
            _, flags, kind, handle, offset, length = struct.unpack("!IHH8sQI", self.take(28))
            answer = struct.pack("!II8s", SIMPLE_REPLY_MAGIC, 0, handle)
            if kind == READ:
                self.stream.sendall(answer)
                self.stream.sendall(store.read(offset, length))
                continue
            if kind == WRITE or kind == WRITE_ZEROES:
                if kind == WRITE:
                    store.write(offset, self.take(length))
                else:
                    store.zero(offset, length)
                if flags & FORCE:
                    store.keep([sector for sector in range(offset // SECTOR, (offset + length) // SECTOR) if sector in store.held])
            elif kind == FLUSH:
                store.flush()
            elif kind == DISCONNECT:
                return
            # What is trimmed may stay.
            self.stream.sendall(answer)


def main():
    path, place, seed = sys.argv[1:]
    store = Store(path, seed)
    server = socket.socket(socket.AF_UNIX)
    server.bind(place)
    server.listen(4)

    def doom(*_):
        store.is_doomed = True
        signal.setitimer(signal.ITIMER_REAL, FLUSH_WAIT_S)

    def cut(*_):
        raise PowerCut

    signal.signal(signal.SIGTERM, doom)
    signal.signal(signal.SIGALRM, cut)
    try:
        while True:
            stream, _ = server.accept()
            with stream:
                store.machine, _, _ = struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                try:
                    Connection(store, stream).serve()
                except (EOFError, ConnectionError):
                    pass
                store.machine = None
    except PowerCut:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(json.dumps(store.cut()), flush=True)


if __name__ == "__main__":
    main()
