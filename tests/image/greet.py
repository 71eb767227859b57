#!/usr/bin/env python3
"""Greets a worker as the gateway does, for worker.sh: DEVICE PROGRAM ARGUMENT... Prints the head of its answer, then hangs up, and ends as the
worker ends. The protocol is that of src/inference/worker/frame.rs."""

import json
import socket
import struct
import subprocess
import sys

SECONDS_MAX = 60
PREFIX = struct.Struct("<4sII")

ours, theirs = socket.socketpair()
ours.settimeout(SECONDS_MAX)
with subprocess.Popen(sys.argv[2:], stdin=theirs) as worker:
    theirs.close()
    setup = {"device": sys.argv[1], "threads": 1, "unload_after_ms": 1000}
    hello = json.dumps({"order": "hello", "protocol": 1, "version": "test", "setup": setup}).encode()
    ours.sendall(PREFIX.pack(b"KfW1", len(hello), 0) + hello)
    with ours.makefile("rb") as answers:
        prefix = answers.read(PREFIX.size)
        print(answers.read(PREFIX.unpack(prefix)[1]).decode() if prefix else "nothing", flush=True)
    ours.close()
    sys.exit(worker.wait(SECONDS_MAX))
