#!/usr/bin/env python3
"""What is on a disk after the power was cut, for power.sh: looks at a copy of its partitions from outside, without the program that wrote them. File
systems must be whole once their journal was replayed, the database must pass SQLite's own check, and everything noted by load.py must be in it.

`kept.py DISK FOLDER NOTES`: the disk, an empty folder for copies, the notes. Prints as JSON what was found.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys

DATABASE = "/lib/kafclaw/.kafclaw/timeline.db"
SECTOR = 512
CHUNK = 1 << 20


def partition(disk, name):
    """First byte and length."""
    printed = subprocess.run(["sgdisk", "-p", disk], check=True, capture_output=True, text=True).stdout
    found = re.search(rf"^\s*\d+\s+(\d+)\s+(\d+)\s.*\s{name}$", printed, re.MULTILINE)
    if not found:
        sys.exit(f"there is no partition {name}")
    first, last = int(found[1]), int(found[2])
    return first * SECTOR, (last - first + 1) * SECTOR


def copy(disk, name, path):
    start, length = partition(disk, name)
    with open(disk, "rb") as source, open(path, "wb") as target:
        target.truncate(length)
        place = start
        # Only what the file system of this host has; the rest are zeros.
        while place < start + length:
            try:
                place = os.lseek(source.fileno(), place, os.SEEK_DATA)
            except OSError:
                break
            source.seek(place)
            data = source.read(min(CHUNK, start + length - place)) if place < start + length else b""
            target.seek(place - start)
            target.write(data)
            place += max(len(data), 1)


def check(path, name):
    """0: whole, once its journal was replayed; anything else had to be mended."""
    replayed = subprocess.run(["e2fsck", "-E", "journal_only", "-y", path], capture_output=True, text=True)
    if replayed.returncode > 1:
        sys.exit(f"the journal of {name} cannot be replayed: {replayed.stdout}{replayed.stderr}")
    checked = subprocess.run(["e2fsck", "-f", "-n", path], capture_output=True, text=True)
    if checked.returncode:
        sys.exit(f"{name} is damaged: {checked.stdout}{checked.stderr}")


def main():
    disk, folder, notes = sys.argv[1:]
    for name in ("persist", "data"):
        copy(disk, name, f"{folder}/{name}")
        check(f"{folder}/{name}", name)
    for end in ("", "-wal"):
        subprocess.run(["debugfs", "-R", f"dump {DATABASE}{end} {folder}/timeline.db{end}", f"{folder}/data"], check=True, capture_output=True)
    connection = sqlite3.connect(f"{folder}/timeline.db")
    told = connection.execute("PRAGMA integrity_check").fetchall()
    if told != [("ok",)]:
        sys.exit(f"the database is damaged: {told[:5]}")
    with open(notes, encoding="utf-8") as file:
        noted = [json.loads(line) for line in file]
    missing = [note for note in noted if not is_there(connection, note)]
    if missing:
        sys.exit(f"{len(missing)} of {len(noted)} acknowledged messages are gone, such as {missing[0]}")
    boxes = [note["asked"].removeprefix("remember that ") for note in noted if note.get("asked", "").startswith("remember")]
    forgotten = [box for box in boxes if not connection.execute("SELECT 1 FROM memory_chunks WHERE content LIKE ?", (f"%{box}%",)).fetchone()]
    if forgotten:
        sys.exit(f"{len(forgotten)} of {len(boxes)} memories are gone, such as {forgotten[0]}")
    tasks = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
    print(json.dumps({"integrity": "ok", "acknowledged": len(noted), "memories": len(boxes), "tasks": tasks}))


def is_there(connection, note):
    if note["way"] == "http":
        row = connection.execute("SELECT status, content_out FROM tasks WHERE task_id = ?", (note["task_id"],)).fetchone()
    else:
        row = connection.execute("SELECT status, content_out FROM tasks WHERE message_id = ?", (note["message_id"],)).fetchone()
    return row == ("completed", note["reply"])


if __name__ == "__main__":
    main()
