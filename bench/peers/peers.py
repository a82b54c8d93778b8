# SPDX-License-Identifier: MIT
"""The peers of bench/compare: what each needs, how it is built, and how one repetition of a workload is run.

A peer's program knows two forms, `list` and `WORKLOAD SCALE WORKERS`, and prints the line that troupe-bench prints.
"""

import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class BuildError(Exception):
    """A peer that cannot be had; the text says why."""


def output_of(command, env=None, cwd=None):
    """What a command prints; BuildError with the end of what it said if it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip().splitlines()[-20:]
        raise BuildError(f"{' '.join(command)}: status {done.returncode}\n    " + "\n    ".join(said))
    return done.stdout


class Peer:
    """One runtime.  `out` is a directory of its own for what is built."""

    name = ""
    packages = []  # groups of tools/packages
    smaller = {}  # workload: share of its size that the peer gets, where all of it would take minutes

    def __init__(self, out, workers):
        self.out = os.path.join(out, self.name)
        self.workers = workers
        self.source = os.path.join(HERE, self.name)

    def install(self):
        """As root installs what is missing; BuildError if something stays missing."""
        output_of(["sh", os.path.join(ROOT, "tools", "packages"), *self.packages])

    def build(self):
        raise NotImplementedError

    def version(self):
        """One line: what was measured."""
        raise NotImplementedError

    def program(self):
        """The words before `list`, or before a workload."""
        raise NotImplementedError

    def workloads(self):
        return output_of(self.program() + ["list"]).split()

    def scale_of(self, workload, scale):
        return scale * self.smaller.get(workload, 1)

    def command(self, workload, scale):
        return self.program() + [workload, f"{self.scale_of(workload, scale):.6f}", str(self.workers)]


class Troupe(Peer):
    name = "troupe"
    packages = ["build"]

    def build(self):
        if not os.path.exists(os.path.join(self.out, "build.ninja")):
            output_of(["meson", "setup", self.out, ROOT, "--buildtype=release", "-Dtests=disabled"])
        output_of(["ninja", "-C", self.out, "bench/troupe-bench"])

    def version(self):
        commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
        return f"troupe {commit or 'of unknown commit'}, {output_of(['cc', '--version']).splitlines()[0]}"

    def program(self):
        return [os.path.join(self.out, "bench", "troupe-bench")]

    def workloads(self):
        return [line.split()[0] for line in output_of(self.program() + ["--list"]).splitlines()]

    def command(self, workload, scale):
        return self.program() + ["--reps", "1", "--workers", str(self.workers), workload, f"{scale:.6f}"]


class Erlang(Peer):
    name = "erlang"
    packages = ["erlang"]
    # Its supervisor walks through all restarts of the period: 200 000 would take an hour.
    smaller = {"restart_long": 0.1, "restart": 0.5}

    def build(self):
        os.makedirs(self.out, exist_ok=True)
        files = sorted(os.path.join(self.source, f) for f in os.listdir(self.source) if f.endswith(".erl"))
        output_of(["erlc", "-Werror", "-o", self.out, *files])

    def version(self):
        release = "io:format(\"~s\", [erlang:system_info(system_version)]), halt()."
        return " ".join(output_of(["erl", "-noshell", "-eval", release]).split())

    def program(self):
        # Room for a million processes.
        return ["erl", "-noinput", "+P", "4194304", "+S", f"{self.workers}:{self.workers}", "-pa", self.out,
                "-run", "bench", "main"]


class Go(Peer):
    name = "go"
    packages = ["go"]

    def build(self):
        os.makedirs(self.out, exist_ok=True)
        # Nothing but the standard library: nothing is fetched.
        output_of(["go", "build", "-o", os.path.join(self.out, "bench"), "."], cwd=self.source,
                  env={"GOFLAGS": "-mod=mod -buildvcs=false", "GOPROXY": "off", "GO111MODULE": "on"})

    def version(self):
        return output_of(["go", "version"]).strip()

    def program(self):
        return [os.path.join(self.out, "bench")]


class Tokio(Peer):
    """With Debian's compiler and Debian's crates, whatever else is installed; nothing is fetched."""

    name = "tokio"
    packages = ["tokio"]
    path = {"PATH": "/usr/bin:/bin"}

    def build(self):
        # A copy: cargo writes beside what it builds.
        copy = os.path.join(self.out, "source")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.source, copy)
        output_of(["/usr/bin/cargo", "build", "--release", "--offline", "--target-dir", os.path.join(self.out, "target"),
                   "--config", 'source.crates-io.replace-with="debian"',
                   "--config", 'source.debian.directory="/usr/share/cargo/registry"'],
                  cwd=copy, env={**self.path, "CARGO_HOME": os.path.join(self.out, "home")})

    def version(self):
        with open(os.path.join(self.out, "source", "Cargo.lock"), encoding="utf-8") as file:
            lock = file.read()
        tokio = lock.split('name = "tokio"\nversion = "')[1].split('"')[0]
        return f"tokio {tokio}, {output_of(['/usr/bin/rustc', '--version']).strip()}"

    def program(self):
        return [os.path.join(self.out, "target", "release", "bench")]


class Caf(Peer):
    name = "caf"
    packages = ["caf"]
    # It takes longer for each actor the more there are: a million would take minutes.
    smaller = {"fj_create": 0.03, "steal": 0.2, "cobwebbed_tree": 0.1}

    def build(self):
        os.makedirs(self.out, exist_ok=True)
        files = sorted(os.path.join(self.source, f) for f in os.listdir(self.source) if f.endswith(".cpp"))
        program = os.path.join(self.out, "bench")
        sources = [*files, os.path.join(self.source, "bench.hpp")]
        # Minutes: only when something has changed.
        if os.path.exists(program) and os.path.getmtime(program) > max(map(os.path.getmtime, sources)):
            return
        output_of(["c++", "-std=c++17", "-O3", "-pthread", "-o", program, *files, "-lcaf_core"])

    def version(self):
        return "CAF " + output_of(["dpkg-query", "-W", "-f", "${Version}", "libcaf-dev"])

    def program(self):
        return [os.path.join(self.out, "bench")]


PEERS = [Troupe, Erlang, Go, Tokio, Caf]
