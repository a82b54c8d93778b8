# SPDX-License-Identifier: MIT
"""What bench/compare, bench/scale and bench/serve share: their arguments, their progress, and what is known about the machine."""

import argparse
import datetime
import os
import platform
import sys
import time


def say(text):
    Progress.clear()
    print(text, file=sys.stderr, flush=True)


class Progress:
    """A line that is written over, on a terminal; elsewhere nothing."""

    is_shown = sys.stderr.isatty()
    WIDTH = 30

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.begin = time.monotonic()

    def show(self, what):
        if not self.is_shown:
            return
        full = self.WIDTH * self.done // max(self.total, 1)
        left = ""
        if self.done > 0:
            seconds = (time.monotonic() - self.begin) / self.done * (self.total - self.done)
            left = f"{int(seconds) // 60}:{int(seconds) % 60:02d} left"
        bar = "#" * full + "." * (self.WIDTH - full)
        print(f"\r\033[K[{bar}] {self.done}/{self.total} {left}  {what}", end="", file=sys.stderr, flush=True)

    @staticmethod
    def clear():
        if Progress.is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def positive(kind):
    """A number of this kind above 0, for argparse."""
    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value <= 1000:
            raise argparse.ArgumentTypeError(f"must be above 0 and at most 1000, not \"{text}\"")
        return value
    return read


def whole(text):
    """A number from 0 on, for argparse."""
    if not text.isdecimal() or int(text) > 1000:
        raise argparse.ArgumentTypeError(f"must be a whole number up to 1000, not \"{text}\"")
    return int(text)


def names(text):
    return [name for name in text.split(",") if name]


def first_of(path, key):
    """The value of the first line `key : value` of a file, or ""."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return ""


def machine():
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "processor": f"{first_of('/proc/cpuinfo', 'model name') or platform.machine()}, {os.cpu_count()} online",
        "memory": first_of("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }
