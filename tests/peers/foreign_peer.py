#!/usr/bin/env python3
"""A member of a KafClaw group that shares no code with this program, for tests/it/peers.rs.

Written from the description of the protocol alone, with confluent-kafka: it joins, says every second that it is there, answers
what is asked of it with PONG, and leaves when its standard input ends. Lines of JSON on the standard input tell it what to do,
lines of JSON on the standard output tell what it saw:

    {"do": "ask", "content": "what time is it", "task_id": "t1", ...}   more fields go into the payload
    {"do": "again"}                                                     the last request, byte for byte
    {"do": "say", "topic": "announce", "value": {...}, "key": "k"}      any record; a text goes as it is
"""

import argparse
import datetime
import json
import queue
import sys
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

TOPICS = ["announce", "requests", "responses", "traces"]
HEARTBEAT_SECONDS = 1.0


class Peer:
    def __init__(self, options):
        self.agent, self.group = options.agent, options.group
        self.skew = datetime.timedelta(hours=options.skew_hours)
        self.joined_at = self.now()
        self.counter = 0
        self.last_request = None
        self.producer = Producer({"bootstrap.servers": options.brokers, "message.max.bytes": 5_000_000})
        self.consumer = Consumer(
            {"bootstrap.servers": options.brokers, "group.id": options.agent, "enable.auto.commit": False}
        )

    def now(self):
        """RFC 3339 with this machine's offset, as agents in Go write it."""
        return (datetime.datetime.now().astimezone() + self.skew).isoformat()

    def topic(self, name):
        return f"group.{self.group}.{name}"

    def produce(self, name, value, key=None):
        record = value if isinstance(value, str) else json.dumps(value)
        self.producer.produce(self.topic(name), record.encode(), key=key)
        if self.producer.flush(30) > 0:
            raise SystemExit(f"the broker did not take a record for {name}")
        return record

    def envelope(self, kind, correlation_id, payload):
        return {
            "type": kind,
            "correlation_id": correlation_id,
            "sender_id": self.agent,
            "timestamp": self.now(),
            "payload": payload,
        }

    def announce(self, action):
        identity = {
            "agent_id": self.agent,
            "agent_name": "Snake",
            "soul_summary": "A script.",
            "capabilities": ["pong"],
            "channels": None,
            "model": "none",
            "joined_at": self.joined_at,
            "status": "active",
        }
        payload = {"action": action, "identity": identity}
        self.produce("announce", self.envelope("announce", f"{action}-{time.time_ns()}", payload))

    def ask(self, order):
        self.counter += 1
        order = {name: value for name, value in order.items() if name != "do"}
        task_id = order.pop("task_id", f"{self.agent}-{self.counter}")
        more = {"target": order.pop("target")} if "target" in order else {}
        payload = {"task_id": task_id, "description": "asked", "content": "", "requester_id": self.agent, **order}
        self.last_request = self.produce("requests", {**self.envelope("request", task_id, payload), **more})

    def do(self, order):
        if order["do"] == "ask":
            self.ask(order)
        elif order["do"] == "again":
            self.produce("requests", self.last_request)
        elif order["do"] == "say":
            self.produce(order["topic"], order["value"], order.get("key"))

    def hear(self, message):
        try:
            envelope = json.loads(message.value())
            payload = envelope["payload"]
        except (TypeError, ValueError, KeyError):
            return
        sender, name = envelope.get("sender_id"), message.topic().removeprefix(f"group.{self.group}.")
        if sender == self.agent:
            return
        tell({"topic": name, "sender": sender, "payload": payload})
        # A record that names somebody else is not for us; agents in Go would not even look.
        if name == "requests" and envelope.get("target", self.agent) == self.agent:
            answer = {
                "task_id": payload["task_id"],
                "responder_id": self.agent,
                "content": "PONG",
                "status": "completed",
            }
            self.produce("responses", self.envelope("response", payload["task_id"], answer))

    def assign(self):
        """Everything that was said in the group, from the beginning; waits until the topics are there."""
        while True:
            known = self.consumer.list_topics(timeout=30).topics
            names = [self.topic(name) for name in TOPICS]
            if all(name in known for name in names):
                break
            time.sleep(0.1)
        partitions = [TopicPartition(name, part, OFFSET_BEGINNING) for name in names for part in known[name].partitions]
        self.consumer.assign(partitions)

    def run(self):
        self.assign()
        self.announce("join")
        tell({"topic": "", "joined": True})
        orders = queue.Queue(100)
        threading.Thread(target=read, args=[orders], daemon=True).start()
        beat_at = time.monotonic() + HEARTBEAT_SECONDS
        while True:
            message = self.consumer.poll(0.05)
            if message is not None and message.error() is None:
                self.hear(message)
            if time.monotonic() >= beat_at:
                self.announce("heartbeat")
                beat_at = time.monotonic() + HEARTBEAT_SECONDS
            try:
                order = orders.get_nowait()
            except queue.Empty:
                continue
            if order is None:
                break
            self.do(order)
        self.announce("leave")
        self.consumer.close()


def tell(event):
    print(json.dumps(event), flush=True)


def read(orders):
    for line in sys.stdin:
        orders.put(json.loads(line))
    orders.put(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--skew-hours", type=float, default=0, help="how wrong its clock is")
    Peer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
