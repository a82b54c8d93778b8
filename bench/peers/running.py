# SPDX-License-Identifier: MIT
"""How bench/compare and bench/scale run one repetition of a workload: on which processors, for how long, what it said."""

import argparse
import os
import signal
import subprocess
import tempfile
import threading
import time

from peers import BuildError
from terminal import say

# Seconds that a repetition may take: so much, and as much again for each unit of scale.
LIMIT_S = 120


class RunError(Exception):
    """A repetition that gives no figure; the text says why."""


# ---- processors ----

def core_of(cpu):
    """What processors that share a core have in common."""
    try:
        with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return str(cpu)


def cpus_for(workers):
    """As many processors as workers, of those that we may use, on cores of their own as far as there are enough; all of them
    for more workers than that."""
    first, second, seen = [], [], set()
    for cpu in sorted(os.sched_getaffinity(0)):
        core = core_of(cpu)
        (second if core in seen else first).append(cpu)
        seen.add(core)
    return set((first + second)[:workers])


def cpu_list(text):
    """A list of processors for argparse, each one that we may use."""
    try:
        cpus = {int(word) for word in text.split(",")}
    except ValueError:
        cpus = set()
    allowed = os.sched_getaffinity(0)
    if not cpus or not cpus <= allowed:
        raise argparse.ArgumentTypeError(
            f"must be numbers of processors, separated by commas, out of {','.join(map(str, sorted(allowed)))}, not \"{text}\"")
    return cpus


def cpus_text(cpus):
    return ",".join(map(str, sorted(cpus)))


# ---- one repetition ----

def parse(line):
    """The words of a line, those that are numbers as such."""
    words = {}
    for word in line.split():
        key, _, value = word.partition("=")
        try:
            words[key] = float(value)
        except ValueError:
            words[key] = value
    return words


def wait_within(child, limit_s):
    """Waits for the end of a child and of what it started; its status and what it used.  RunError: it was too slow."""
    is_late = threading.Event()

    def end():
        is_late.set()
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # ended at that moment

    timer = threading.Timer(limit_s, end)
    timer.start()
    _, status, usage = os.wait4(child.pid, 0)
    timer.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    if is_late.is_set():
        raise RunError(f"did not finish in {limit_s:.0f} s")
    return child.returncode, usage


def run_once(peer, workload, scale, cpus):
    """One repetition on these processors: the words of its line, the CPU time it used, and how long the program ran."""
    command = peer.command(workload, scale)
    # The child inherits it; what is asked for must have been worked out before.
    os.sched_setaffinity(0, cpus)
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        status, usage = wait_within(child, LIMIT_S + LIMIT_S * scale)
        wall = time.monotonic() - begin
        out.seek(0)
        err.seek(0)
        lines = [line for line in out if line.startswith("workload=")]
        complaint = err.read().strip()
    if status != 0 or not lines:
        raise RunError(f"status {status}: {complaint or 'no line was printed'}")
    return {**parse(lines[-1]), "cpu_secs": usage.ru_utime + usage.ru_stime, "wall_secs": wall}


# ---- the peers ----

def prepare(kinds, out, workers):
    """The peers of these kinds that can be had, and what is wrong with the others."""
    ready, absent = [], {}
    for kind in kinds:
        peer = kind(out, workers)
        try:
            say(f"{peer.name}: building")
            peer.install()
            peer.build()
            peer.known = peer.workloads()
            ready.append(peer)
        except BuildError as error:
            absent[peer.name] = str(error)
            say(f"{peer.name}: left out: {error}")
    return ready, absent
