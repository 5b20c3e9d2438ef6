"""Ethernet frames made by hand, most of them wrong."""

import struct

from .netns import GUEST, PEER, raw_socket


def ip_bytes(text):
    return bytes(int(part) for part in text.split("."))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(wire, payload, kind=0x0800, to=None):
    return (to or wire.guest_mac) + wire.peer_mac + struct.pack("!H", kind) + payload


def ipv4(payload, protocol, source=PEER, to=GUEST, version=4, words=5, length=None, ident=1, fragment=0, ttl=64,
         options=b"", total=None):  # fmt: skip
    """An IPv4 packet; each field can be a lie. `total` is the checksum."""
    length = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack("!BBHHHBBH", version << 4 | words, 0, length, ident, fragment, ttl, protocol, 0)
    head += ip_bytes(source) + ip_bytes(to)
    total = checksum(head + options) if total is None else total
    return head[:10] + struct.pack("!H", total) + head[12:] + options + payload


def pseudo(protocol, length, source, to):
    return ip_bytes(source) + ip_bytes(to) + struct.pack("!BBH", 0, protocol, length)


def udp(data, port=7, own=5000, source=PEER, to=GUEST, length=None, total=None):
    head = struct.pack("!HHHH", own, port, 8 + len(data) if length is None else length, 0)
    if total is None:
        total = checksum(pseudo(17, 8 + len(data), source, to) + head + data) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + data


def tcp(flags, port=7, own=5000, seq=1, ack=0, data=b"", options=b"", words=None, window=1000, source=PEER, to=GUEST,
        total=None):  # fmt: skip
    words = 5 + len(options) // 4 if words is None else words
    head = struct.pack("!HHIIBBHHH", own, port, seq, ack, words << 4, flags, window, 0, 0) + options
    if total is None:
        total = checksum(pseudo(6, len(head + data), source, to) + head + data)
    return head[:16] + struct.pack("!H", total) + head[18:] + data


def icmp(kind, code, rest, total=None):
    head = struct.pack("!BBH", kind, code, 0)
    total = checksum(head + rest) if total is None else total
    return struct.pack("!BBH", kind, code, total) + rest


def arp(wire, operation=1, hardware=1, protocol=0x0800, hlen=6, plen=4, sender=PEER, target=GUEST):
    return (
        struct.pack("!HHBBH", hardware, protocol, hlen, plen, operation)
        + wire.peer_mac + ip_bytes(sender) + bytes(6) + ip_bytes(target)
    )  # fmt: skip


class Wire:
    """The host's interface, for frames of our own making."""

    def __init__(self, interface="peer0"):
        self.raw = raw_socket(interface)
        self.peer_mac = self.raw.getsockname()[4]
        self.guest_mac = next(
            bytes.fromhex(line.split()[3].replace(":", ""))
            for line in open("/proc/net/arp").readlines()[1:]
            if line.split()[0] == GUEST
        )

    def send(self, frame):
        self.raw.send(frame)

    def close(self):
        self.raw.close()
