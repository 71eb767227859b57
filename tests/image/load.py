#!/usr/bin/env python3
"""People who talk to the machine under test all at once, for power.sh: over HTTP and over MQTT, until the machine or this is gone. Each answer is an
acknowledgment, noted with what was asked before anything else happens.

`load.py PORT PASSWORD NOTES`: the first of the machine's ports here (ssh, API, page, broker), the password of `people` at its broker, and a file that
gets a line of JSON for each answer. The API's token is read from standard input.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import uuid

CALLERS = 4
PAUSE_S = 0.05
# They end with this.
BOUND = ["setpriv", "--pdeathsig", "KILL"]


class Notes:
    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def add(self, **note):
        with self.lock:
            self.file.write(json.dumps(note) + "\n")
            self.file.flush()


def call(port, token, caller, notes):
    """Asks one after the other; a connection that ends is the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        while True:
            key = uuid.uuid4().hex
            sentence = f"remember that the code of box {key[:8]} is {key[8:12]}" if key[0] in "01234567" else "what time is it?"
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
            connection.request("POST", "/chat", json.dumps({"message": sentence, "session": f"local:caller-{caller}"}), headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                told = json.loads(body)
                notes.add(way="http", key=key, asked=sentence, task_id=told["task_id"], reply=told["reply"])
            elif answer.status not in (429, 503):
                print(f"{answer.status}: {body!r}", file=sys.stderr)
            time.sleep(PAUSE_S)
    except (OSError, http.client.HTTPException):
        pass


def publish(broker):
    publisher = subprocess.Popen([*BOUND, "mosquitto_pub", *broker, "-q", "1", "-l", "-t", "kafclaw/default/in/load"], stdin=subprocess.PIPE, text=True)
    try:
        while publisher.poll() is None:
            publisher.stdin.write(json.dumps({"id": uuid.uuid4().hex, "text": "what time is it?"}) + "\n")
            publisher.stdin.flush()
            time.sleep(PAUSE_S)
    except OSError:
        pass


def main():
    port, password, notes = int(sys.argv[1]), sys.argv[2], Notes(sys.argv[3])
    token = sys.stdin.readline().strip()
    broker = ["-h", "127.0.0.1", "-p", str(port + 3), "-u", "people", "-P", password]
    listener = subprocess.Popen([*BOUND, "mosquitto_sub", *broker, "-q", "1", "-t", "kafclaw/default/out/load"], stdout=subprocess.PIPE, text=True)
    callers = [threading.Thread(target=call, args=(port + 1, token, number, notes), daemon=True) for number in range(CALLERS)]
    callers.append(threading.Thread(target=publish, args=(broker,), daemon=True))
    for caller in callers:
        caller.start()
    for line in listener.stdout:
        told = json.loads(line)
        notes.add(way="mqtt", message_id=told["in_reply_to"], reply=told["text"])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(130)
