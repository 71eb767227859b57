#!/usr/bin/env python3
"""Another machine on the same cable as the one under test, for boot.sh: made of bare frames, so that no firewall, bridge or right of this
system stands between. Gives the machine an address, asks for its names by multicast, then knocks on each of its TCP and UDP ports, by
IPv4 and by IPv6, and prints as JSON what it heard.

`neighbor.py HERE THERE NAME DOOR`: UDP ports of 127.0.0.1 where QEMU's `-netdev socket,udp=` is heard and listens, the name to ask for, and a TCP port
that must answer: each lot of knocks ends with one on it, and its answer shows that all before it have arrived.
"""

import ipaddress
import json
import socket
import struct
import sys
import time

OWN_MAC = bytes.fromhex("020000770001")
BROADCAST = b"\xff" * 6
OWN4 = ipaddress.ip_address("192.168.77.1").packed
THEIRS4 = ipaddress.ip_address("192.168.77.2").packed
OWN6 = ipaddress.ip_address("fe80::77:1").packed
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
MDNS = 5353
SYN, RST, ACK = 2, 4, 16
ADDRESS_WAIT_S = 90
ANSWER_WAIT_S = 3
TRIES = 20
# Fewer than a socket's buffer holds.
LOT = 128


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Cable:
    """Frames to and from the machine; answers what any machine would, and notes what answers knocks."""

    def __init__(self, here, there):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self.socket.bind(("127.0.0.1", here))
        self.there = ("127.0.0.1", there)
        self.mac, self.address6 = BROADCAST, None
        self.has_address = False
        self.names = {}
        # (protocol, family) -> ports
        self.open, self.closed = {}, {}
        # Own ports that were answered.
        self.answered = set()

    def send(self, destination, kind, payload):
        frame = destination + OWN_MAC + struct.pack("!H", kind) + payload
        self.socket.sendto(frame.ljust(60, b"\0"), self.there)

    def send_ip(self, family, protocol, body, to=None, mac=None):
        """`body` has a checksum of zero at the place where its protocol has it, and gets the right one."""
        source, to = (OWN4, to or THEIRS4) if family == 4 else (OWN6, to or self.address6)
        place = {ICMP6: 2, TCP: 16, UDP: 6}[protocol]
        pseudo = source + to + (struct.pack("!HH", protocol, len(body)) if family == 4 else struct.pack("!II", len(body), protocol))
        # Zero would mean that there is none.
        total = checksum(pseudo + body) or 0xFFFF
        body = body[:place] + struct.pack("!H", total) + body[place + 2 :]
        if family == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 255, protocol, 0) + source + to
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
            self.send(mac or self.mac, IPV4, head + body)
        else:
            head = struct.pack("!IHBB", 6 << 28, len(body), protocol, 255) + source + to
            self.send(mac or self.mac, IPV6, head + body)

    def listen(self, until, is_over):
        """Takes frames until `is_over` or the time is up; says which."""
        while not is_over():
            left = until - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                frame = self.socket.recv(65536)
            except TimeoutError:
                return False
            try:
                self.take(frame)
            except (IndexError, struct.error):
                pass
        return True

    def take(self, frame):
        source, (kind,), rest = frame[6:12], struct.unpack("!H", frame[12:14]), frame[14:]
        if kind == ARP and rest[6:8] == b"\0\1" and rest[24:28] == OWN4:
            reply = rest[:6] + b"\0\2" + OWN_MAC + OWN4 + rest[8:18]
            self.send(source, ARP, reply)
        elif kind == IPV4:
            length = (rest[0] & 15) * 4
            end = struct.unpack("!H", rest[2:4])[0]
            self.take_ip(4, rest[9], source, rest[12:16], rest[length:end])
        elif kind == IPV6:
            # Whoever has just been plugged in looks for routers from this address, which no name leads to.
            if rest[8:10] == b"\xfe\x80":
                self.address6 = rest[8:24]
            end = 40 + struct.unpack("!H", rest[4:6])[0]
            self.take_ip(6, rest[6], source, rest[8:24], rest[40:end])

    def take_ip(self, family, protocol, mac, source, body):
        if protocol == UDP:
            from_port, to_port = struct.unpack("!HH", body[:4])
            if from_port == 68 and to_port == 67:
                self.lease(body[8:])
            elif from_port == MDNS:
                self.mac = mac
                self.hear_names(body[8:])
                if to_port != MDNS:
                    self.note(self.open, UDP, family, from_port)
            elif self.is_machine(family, source):
                self.note(self.open, UDP, family, from_port)
        elif protocol == TCP and self.is_machine(family, source):
            from_port, to_port, _, sequence, _, flags = struct.unpack("!HHIIBB", body[:14])
            self.answered.add(to_port)
            if flags & (SYN | ACK) == SYN | ACK and not flags & RST:
                self.note(self.open, TCP, family, from_port)
                self.send_ip(family, TCP, struct.pack("!HHIIBBHHH", to_port, from_port, sequence, 0, 0x50, RST, 0, 0, 0))
            elif flags & RST:
                self.note(self.closed, TCP, family, from_port)
        elif protocol == ICMP and body[0] == 3:
            inner = body[8:]
            ports = inner[(inner[0] & 15) * 4 :]
            self.note(self.closed, inner[9], 4, struct.unpack("!H", ports[2:4])[0])
        elif protocol == ICMP6 and body[0] == 1:
            self.note(self.closed, body[8 + 6], 6, struct.unpack("!H", body[8 + 40 + 2 : 8 + 40 + 4])[0])
        elif protocol == ICMP6 and body[0] == 135 and body[8:24] == OWN6:
            advertisement = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + OWN6 + b"\2\1" + OWN_MAC
            to = source if any(source) else ipaddress.ip_address("ff02::1").packed
            self.send_ip(6, ICMP6, advertisement, to=to, mac=mac)

    def is_machine(self, family, source):
        return source == (THEIRS4 if family == 4 else self.address6)

    @staticmethod
    def note(ports, protocol, family, port):
        ports.setdefault(("tcp" if protocol == TCP else "udp") + str(family), set()).add(port)

    def lease(self, request):
        """What a router does: RFC 2131, one address and no way out."""
        options, place = {}, 240
        while request[place] != 255:
            if request[place] == 0:
                place += 1
                continue
            options[request[place]] = request[place + 2 : place + 2 + request[place + 1]]
            place += 2 + request[place + 1]
        kind = {1: 2, 3: 5}.get(options[53][0])
        if kind is None:
            return
        self.mac = request[28:34]
        offer = bytes([53, 1, kind, 54, 4]) + OWN4 + bytes([51, 4]) + struct.pack("!I", 86400) + b"\1\4\xff\xff\xff\0\xff"
        reply = b"\2" + request[1:4] + request[4:8] + request[8:12] + b"\0" * 4 + THEIRS4 + OWN4 + b"\0" * 4 + request[28:44]
        reply += b"\0" * 192 + request[236:240] + offer
        body = struct.pack("!HHHH", 67, 68, 8 + len(reply), 0) + reply
        self.send_ip(4, UDP, body, to=b"\xff" * 4, mac=BROADCAST)
        self.has_address = self.has_address or kind == 5

    def hear_names(self, message):
        """Answers of multicast DNS: RFC 6762; names and what they stand for."""
        _, flags, questions, *counts = struct.unpack("!HHHHHH", message[:12])
        if not flags & 0x8000:
            return
        place = 12
        for _ in range(questions):
            _, place = name_at(message, place)
            place += 4
        for _ in range(sum(counts)):
            name, place = name_at(message, place)
            kind, _, _, length = struct.unpack("!HHIH", message[place : place + 10])
            data = message[place + 10 : place + 10 + length]
            if kind == 1 or kind == 28:
                self.names.setdefault(name, set()).add(str(ipaddress.ip_address(data)))
            elif kind == 33:
                self.names.setdefault(name, set()).add(f"port {struct.unpack('!H', data[4:6])[0]}")
            elif kind == 12:
                self.names.setdefault(name, set()).add(name_at(message, place + 10)[0])
            place += 10 + length

    def ask(self, questions):
        message = struct.pack("!HHHHHH", 0, 0, len(questions), 0, 0, 0)
        for name, kind in questions:
            message += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
        body = struct.pack("!HHHH", MDNS, MDNS, 8 + len(message), 0) + message
        self.send_ip(4, UDP, body, to=bytes([224, 0, 0, 251]), mac=bytes.fromhex("01005e0000fb"))
        self.send_ip(6, UDP, body, to=ipaddress.ip_address("ff02::fb").packed, mac=bytes.fromhex("3333000000fb"))

    def knock(self, family, protocol, ports, door):
        """On all of them; lots whose last knock is not answered are sent again."""
        own = 20_000
        for begin in range(0, len(ports), LOT):
            lot = ports[begin : begin + LOT]
            for _ in range(TRIES):
                for port in lot:
                    if protocol == TCP:
                        self.send_ip(family, TCP, syn(own, port))
                    else:
                        self.send_ip(family, UDP, struct.pack("!HHHH", own, port, 8, 0))
                # A port of its own for each: a second SYN of the same connection might be answered otherwise.
                own = own + 1 if own < 60_000 else 20_000
                last = own
                self.answered.discard(last)
                self.send_ip(family, TCP, syn(last, door))
                if self.listen(time.monotonic() + ANSWER_WAIT_S, lambda: last in self.answered):
                    break
            else:
                sys.exit(f"port {door} has stopped to answer by IPv{family}, at {lot[0]}")
        # What is late.
        self.listen(time.monotonic() + ANSWER_WAIT_S, lambda: False)


def syn(own, port):
    return struct.pack("!HHIIBBHHH", own, port, own * 7919, 0, 0x50, SYN, 64240, 0, 0)


def name_at(message, place):
    parts, end = [], None
    while message[place]:
        if message[place] >= 0xC0:
            end = end or place + 2
            place = struct.unpack("!H", message[place : place + 2])[0] & 0x3FFF
            continue
        parts.append(message[place + 1 : place + 1 + message[place]].decode(errors="replace"))
        place += 1 + message[place]
        if len(parts) > 64:
            raise IndexError
    return ".".join(parts), end or place + 1


def main():
    here, there, name, door = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    cable = Cable(here, there)
    # Whoever started this plugs the cable in when it has read this.
    print(json.dumps({"listens": True}), flush=True)
    if not cable.listen(time.monotonic() + ADDRESS_WAIT_S, lambda: cable.has_address):
        sys.exit("the machine asks for no address")

    services = ["_http._tcp.local", "_kafclaw._tcp.local", "_mqtt._tcp.local"]
    wanted = [(name, 1), (name, 28), *((service, 12) for service in services)]
    until = time.monotonic() + ADDRESS_WAIT_S
    own4 = str(ipaddress.ip_address(THEIRS4))

    def knows_all():
        return own4 in cable.names.get(name, ()) and all(service in cable.names for service in services)

    while not (knows_all() and cable.address6) and time.monotonic() < until:
        cable.ask(wanted)
        cable.listen(time.monotonic() + 1, lambda: knows_all() and cable.address6)
    if not knows_all() or not cable.address6:
        sys.exit(f"asked for {name} and its services, heard {({name: sorted(told) for name, told in cable.names.items()})}, and IPv6 from {cable.address6}")

    began = time.monotonic()
    everything = list(range(1, 65536))
    for family in (4, 6):
        cable.knock(family, TCP, everything, door)
        cable.knock(family, UDP, everything, door)
    found = {
        "names": {key: sorted(told) for key, told in sorted(cable.names.items())},
        "open": {key: sorted(ports) for key, ports in sorted(cable.open.items())},
        "closed": {key: sorted(ports) for key, ports in sorted(cable.closed.items())},
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
