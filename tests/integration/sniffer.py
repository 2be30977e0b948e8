"""What crosses the loopback device while a test looks: the payload of every TCP segment from and to some ports.

Covers IPv4 over ``lo`` by a packet socket (packet(7)), which needs root; without it the test is skipped, with the reason. The kernel
leaves out all other packets, so that what the rest of the machine says costs nothing.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Collection
from typing import Final, Self

import pytest

_ALL: Final = 0x0003
"""ETH_P_ALL of linux/if_ether.h."""
_FORCE_BUFFER: Final = 33
"""SO_RCVBUFFORCE of asm-generic/socket.h: a buffer beyond the system's limit, so that nothing is dropped."""
_ATTACH_FILTER: Final = 26
"""SO_ATTACH_FILTER of asm-generic/socket.h."""
_OUTGOING: Final = 4
"""PACKET_OUTGOING of packet(7): over ``lo`` each packet passes twice."""


class Sniffer:
    """A context manager; afterwards `seen` has all that was said, in the order in which it passed."""

    def __init__(self, ports: Collection[int]) -> None:
        self.seen = bytearray()
        self._ports = frozenset(ports)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="sniffer")
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        except PermissionError as error:
            pytest.skip(f"looking at packets needs root: {error}")

    def __enter__(self) -> Self:
        self._socket.setsockopt(socket.SOL_SOCKET, _FORCE_BUFFER, 64 << 20)
        program = ctypes.create_string_buffer(_filter(self._ports))
        self._socket.setsockopt(
            socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", len(program) // 8, ctypes.addressof(program))
        )
        self._socket.bind(("lo", 0))
        self._socket.settimeout(0.05)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                packet, address = self._socket.recvfrom(1 << 18)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            if address[2] != _OUTGOING:
                self.seen += self._payload(packet[14:])  # after the Ethernet header

    def _payload(self, packet: bytes) -> bytes:
        # RFC 791 and RFC 9293: the lengths of both headers are in words of four bytes.
        segment = packet[(packet[0] & 15) * 4 :]
        return segment[(segment[12] >> 4) * 4 :]


def _filter(ports: Collection[int]) -> bytes:
    """Return a program of the classic packet filter: TCP over IPv4 from or to one of some ports (kernel documentation, networking/filter.rst)."""
    load_half, load_byte, load_header, load_half_of_tcp, jump_if_equal, answer = 0x28, 0x30, 0xB1, 0x48, 0x15, 0x06
    count = len(ports)
    no = 7 + 2 * count  # where the program says so; "yes" stands behind it, and jumps count from the next instruction
    program = [(load_half, 0, 0, 12), (jump_if_equal, 0, no - 2, 0x0800)]
    program += [(load_byte, 0, 0, 23), (jump_if_equal, 0, no - 4, socket.IPPROTO_TCP)]
    program += [(load_header, 0, 0, 14)]
    for offset in (14, 16):
        program.append((load_half_of_tcp, 0, 0, offset))
        for port in ports:
            program.append((jump_if_equal, no - len(program), 0, port))
    program += [(answer, 0, 0, 0), (answer, 0, 0, 1 << 18)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)
