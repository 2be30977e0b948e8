"""A slow and distant link between two hosts of a test, for kernels without netem: a process that holds every frame back as long as the line would.

Covers two tap devices whose other ends this process has, and the clock between them: a frame leaves when the line is free and has had its time for it, and
arrives `delay` later. Frames carry the kernel's own header (``IFF_VNET_HDR``, Documentation/networking/tuntap.rst; ``struct virtio_net_hdr``), so that TCP hands over
64 KiB at a time and Python is fast enough for some Gbit/s; the last step is spread over time like the packets would be. Run by ``namespaces.py``.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import struct
import time
from collections import deque
from typing import Final

_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNSETVNETHDRSZ: Final = 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6 = 0x01, 0x02, 0x04
"""linux/if_tun.h"""
_HEADER: Final = 10
"""Bytes of ``struct virtio_net_hdr``."""
_LONGEST: Final = 70_000


def open_tap(name: str) -> int:
    """Make a tap device, which lives as long as the descriptor that is returned."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
    fcntl.ioctl(device, _TUNSETVNETHDRSZ, struct.pack("i", _HEADER))
    fcntl.ioctl(device, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6)
    return device


class Line:
    """One direction: what is read from one device is written to the other one when its time has come."""

    def __init__(self, source: int, target: int, delay: float, rate: float | None) -> None:
        self.source = source
        self._target = target
        self._delay = delay
        self._rate = rate
        self._free = 0.0
        self._queue: deque[tuple[float, bytes]] = deque()

    def take(self) -> None:
        """Take all frames that are there."""
        while True:
            try:
                frame = os.read(self.source, _LONGEST)
            except BlockingIOError:
                return
            self._free = max(self._free, time.monotonic())
            if self._rate is not None:
                self._free += (len(frame) - _HEADER) * 8 / self._rate
            self._queue.append((self._free + self._delay, frame))

    def give(self) -> float | None:
        """Give what is due; return seconds until the next frame is, None if there is none."""
        while self._queue:
            rest = self._queue[0][0] - time.monotonic()
            if rest > 0:
                return rest
            frame = self._queue.popleft()[1]
            try:
                os.write(self._target, frame)
            except OSError:
                continue  # the device is down, or the queue behind it full: the frame is lost, as it would be on a wire
        return None


def relay(first: int, second: int, delay: float, rate: float | None) -> None:
    """Carry frames between two devices until this process ends."""
    lines = Line(first, second, delay, rate), Line(second, first, delay, rate)
    while True:
        rests = [rest for line in lines if (rest := line.give()) is not None]
        select.select([first, second], [], [], min(rests, default=None))
        for line in lines:
            line.take()


def main() -> None:
    """Make two devices, say so, and carry."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--delay", type=float, required=True)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    first, second = open_tap(options.first), open_tap(options.second)
    print("ready", flush=True)
    relay(first, second, options.delay, options.rate)


if __name__ == "__main__":
    main()
