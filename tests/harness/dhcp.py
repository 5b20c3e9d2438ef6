#!/usr/bin/env python3
"""A DHCP server (RFC 2131) whose leases are short and whose moods change.

    dhcp.py INTERFACE FILE

FILE holds the address that it leases, and may say `deaf` behind it: then whoever
renews is not answered. Without an address nobody is. A line is printed for each
message: its kind (DISCOVER, REQUEST), the address that the client says it has,
and where it was sent to.
"""

import ipaddress
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness.netns import PEER  # noqa: E402

LEASE, RENEW, REBIND = 7, 2, 4
"""Seconds: the lease, T1 and T2."""
MESSAGE = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
COOKIE = bytes([99, 130, 83, 99])
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
IP_PKTINFO = 8


def options(data):
    """The options of a message."""
    found, at = {}, 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def packed(address):
    return ipaddress.IPv4Address(address).packed


def reply(fields, kind, address):
    me = packed(PEER)
    op = [
        (53, bytes([kind])), (54, me), (51, struct.pack("!I", LEASE)), (58, struct.pack("!I", RENEW)),
        (59, struct.pack("!I", REBIND)), (1, packed("255.255.255.0")), (3, me), (6, me),
    ]  # fmt: skip
    if kind == NAK:
        op, address = op[:2], "0.0.0.0"
    _, htype, hlen, _, xid, _, flags, ciaddr, _, _, giaddr, chaddr, _, _, _ = fields
    ciaddr = bytes(4) if kind == NAK else ciaddr
    head = MESSAGE.pack(2, htype, hlen, 0, xid, 0, flags, ciaddr, packed(address), me, giaddr, chaddr, b"", b"", COOKIE)
    return head + b"".join(bytes([code, len(value)]) + value for code, value in op) + b"\xff"


def main(interface, file):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("", 67))
    while True:
        data, control, _, _ = sock.recvmsg(2048, 256)
        fields = MESSAGE.unpack_from(data)
        asked = options(data[MESSAGE.size :])
        kind = asked[53][0]
        has = socket.inet_ntoa(fields[7])
        # struct in_pktinfo: the last word is the destination.
        to = socket.inet_ntoa(control[0][2][8:12])
        print({DISCOVER: "DISCOVER", REQUEST: "REQUEST"}.get(kind, kind), has, to, flush=True)
        address, *mood = Path(file).read_text().split() or [None]
        renews = has != "0.0.0.0"
        if not address or renews and "deaf" in mood:
            continue
        wanted = has if renews else socket.inet_ntoa(asked.get(50, bytes(4)))
        if kind == DISCOVER:
            answer = OFFER
        elif kind == REQUEST:
            answer = ACK if wanted == address else NAK
        else:
            continue
        where = has if renews and answer == ACK else "255.255.255.255"
        sock.sendto(reply(fields, answer, address), (where, 68))


if __name__ == "__main__":
    main(*sys.argv[1:])
