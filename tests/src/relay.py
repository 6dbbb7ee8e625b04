"""A bad cable: carries Ethernet frames between two interfaces and loses some of those with UDP or TCP.

    python3 relay.py INNER OUTER LOSS SEED COUNTS

LOSS is the share of frames that are lost, each way. COUNTS is a file that is written anew a few times a
second: for both ways how many frames of UDP and of TCP came through, and how many were lost. What is lost is
lost as on a real cable, so the kernels send parts of streams again.
"""

import json
import os
import random
import select
import socket
import sys
import time

# From linux/if_packet.h. With the header of virtio a frame keeps what the kernel left to be done on the card,
# such as its checksum.
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
VNET_HEADER = 10
ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
PROTOCOLS = {6: "tcp", 17: "udp"}
LARGEST = 1 << 17
WRITE_EACH = 0.2


def open_interface(name: str) -> socket.socket:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    link.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    link.bind((name, ETH_P_ALL))
    return link


def protocol(frame: bytes) -> str | None:
    """UDP, TCP, or none of them, as in a question for an address."""
    if int.from_bytes(frame[12:14], "big") != ETH_P_IP:
        return None
    return PROTOCOLS.get(frame[23])


def main() -> None:
    inner, outer, loss, seed, path = sys.argv[1:]
    chance = random.Random(int(seed))
    ends = {open_interface(inner): "out", open_interface(outer): "in"}
    other = dict(zip(ends, reversed(ends)))
    counts = {
        way: {"udp": 0, "tcp": 0, "udp_lost": 0, "tcp_lost": 0} for way in ("out", "in")
    }
    written = 0.0
    while True:
        ready, _, _ = select.select(list(ends), [], [], WRITE_EACH)
        for link in ready:
            data, address = link.recvfrom(LARGEST)
            if address[2] == PACKET_OUTGOING:
                continue
            kind, way = protocol(data[VNET_HEADER:]), ends[link]
            if kind is not None:
                lost = chance.random() < float(loss)
                counts[way][f"{kind}_lost" if lost else kind] += 1
                if lost:
                    continue
            try:
                other[link].send(data)
            except OSError:
                # The cable is being pulled.
                pass
        if time.monotonic() - written > WRITE_EACH:
            written = time.monotonic()
            with open(f"{path}.new", "w", encoding="ascii") as file:
                json.dump(counts, file)
            os.replace(f"{path}.new", path)


main()
