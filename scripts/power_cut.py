#!/usr/bin/env python3
"""Cuts the power under a file system and counts what was acknowledged and is gone.

One cycle: make an ext4 file system in a loop file and mount it, start a writer on it, let it acknowledge
records for a random while, then shut the file system down in the kernel without flushing anything
(EXT4_IOC_SHUTDOWN). From there on no byte reaches the file; what sat in the page cache only is lost, as in
a power cut. Unmount, mount again (ext4 replays its journal), and have a checker look for each record that
was acknowledged BEFORE the cut. Later ones don't count: nobody can tell whether they were answered in time.

What this does not show: a disk that loses what it has confirmed. The loop file keeps every write it got, so
a missing flush of the device's own cache goes unseen.

The writer is a command that gets the mounted directory as its last argument and prints one line for each
record, after the record is durable. The checker gets the directory and a file with the lines that counted;
it prints one line for each that is missing, and exits with 0 whether or not there are any. Without --writer
the controls run: `append`, which appends and calls fdatasync, must lose nothing; `careless`, which does not
call fdatasync, must lose something, or else the cut does not cut.

Needs root and loop devices. Exit codes: 0 as expected, 1 records lost, 2 usage, 77 can't run here.
"""

import argparse
import fcntl
import os
import random
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

EXT4_IOC_SHUTDOWN = 0x8004587D
GOING_DOWN_WITHOUT_LOG_FLUSH = 2
SKIPPED = 77
RECORD_BYTES = 200


def main():
    if sys.argv[1:2] == ["control-write"]:
        return control_write(sys.argv[2], sys.argv[3] == "sync")
    if sys.argv[1:2] == ["control-check"]:
        return control_check(sys.argv[2], sys.argv[3])
    options = arguments()
    reason = why_not()
    if reason:
        print(f"!! POWER CUTS WERE NOT TRIED: {reason}", file=sys.stderr)
        return SKIPPED
    print(f"seed {options.seed}", file=sys.stderr)
    dice = random.Random(options.seed)
    totals = [Cycle(options, dice).run(number) for number in range(options.cycles)]
    acknowledged, lost = (sum(column) for column in zip(*totals))
    print(f"{options.name}: {options.cycles} power cuts, {acknowledged} acknowledged before them, {lost} lost")
    return 1 if bool(lost) != options.must_lose or not acknowledged else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=20, help="power cuts (default 20)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--control", choices=["append", "careless"], default="append")
    parser.add_argument("--writer", help="the writer's command; the directory is appended")
    parser.add_argument("--checker", help="the checker's command; directory and file are appended")
    parser.add_argument("--size-mib", type=int, default=256, help="of the file system (default 256)")
    parser.add_argument("--run-ms", type=int, nargs=2, default=[50, 600], metavar=("MIN", "MAX"),
                        help="how long the writer runs after its first record")
    options = parser.parse_args()
    if bool(options.writer) != bool(options.checker):
        parser.error("--writer and --checker come together")
    options.must_lose = not options.writer and options.control == "careless"
    options.name = options.writer or f"control `{options.control}`"
    itself = [sys.executable, os.path.abspath(__file__)]
    sync = "nosync" if options.must_lose else "sync"
    options.write = lambda folder: (
        shlex.split(options.writer) + [folder] if options.writer else itself + ["control-write", folder, sync])
    options.check = lambda folder, lines: (
        shlex.split(options.checker) + [folder, lines] if options.checker
        else itself + ["control-check", folder, lines])
    return options


def why_not():
    if os.geteuid() != 0:
        return "mounting needs root"
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if not shutil.which(tool)]
    if missing:
        return f"not installed: {' '.join(missing)}"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    return None


class Cycle:
    """One power cut."""

    def __init__(self, options, dice):
        self.options = options
        self.pause = dice.uniform(*options.run_ms) / 1000
        self.counted = []
        self.cut = False
        self.lock = threading.Lock()
        self.first = threading.Event()

    def run(self, number):
        with tempfile.TemporaryDirectory(prefix="power-cut-") as base:
            image, folder = os.path.join(base, "disk"), os.path.join(base, "mnt")
            os.mkdir(folder)
            make_disk(image, self.options.size_mib)
            mount(image, folder)
            try:
                self.write_until_the_cut(folder)
            finally:
                unmount(folder)
            mount(image, folder)
            try:
                lost = self.check(folder, os.path.join(base, "acknowledged"))
            finally:
                unmount(folder)
        print(f"cut {number + 1} after {self.pause * 1000:.0f} ms: {len(self.counted)} acknowledged, "
              f"{len(lost)} lost", file=sys.stderr)
        for line in lost[:5]:
            print(f"  lost: {line[:120]}", file=sys.stderr)
        return len(self.counted), len(lost)

    def write_until_the_cut(self, folder):
        with subprocess.Popen(self.options.write(folder), stdout=subprocess.PIPE, text=True,
                              start_new_session=True) as writer:
            reader = threading.Thread(target=self.listen, args=(writer.stdout,))
            reader.start()
            try:
                if not self.first.wait(timeout=30):
                    raise SystemExit("the writer acknowledged nothing in 30 s")
                time.sleep(self.pause)
                # Acknowledgements stop counting before the power goes, never after it.
                with self.lock:
                    self.cut = True
                shut_down(folder)
            finally:
                os.killpg(writer.pid, signal.SIGKILL)
                reader.join()

    def listen(self, stream):
        for line in stream:
            with self.lock:
                if not self.cut and line.endswith("\n"):
                    self.counted.append(line)
            self.first.set()

    def check(self, folder, lines):
        with open(lines, "w", encoding="utf-8") as file:
            file.writelines(self.counted)
        found = subprocess.run(self.options.check(folder, lines), stdout=subprocess.PIPE, text=True, check=True)
        return found.stdout.splitlines()


def make_disk(image, size_mib):
    with open(image, "wb") as file:
        file.truncate(size_mib << 20)
    # Zeroing everything now keeps ext4's lazy initialisation out of the measurement.
    options = "lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", options, image], check=True)


def mount(image, folder):
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)


def unmount(folder):
    for _ in range(50):
        if subprocess.run(["umount", folder], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", folder], check=True)


def shut_down(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", GOING_DOWN_WITHOUT_LOG_FLUSH))
    finally:
        os.close(descriptor)


def record(number):
    return f"{number:012d} ".ljust(RECORD_BYTES - 1, chr(ord("a") + number % 26)) + "\n"


def control_write(folder, sync):
    """Appends records to one file and names each when it is durable (or, careless, when it is written)."""
    file = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if sync:
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(parent)
    number = 0
    try:
        while True:
            os.write(file, record(number).encode())
            if sync:
                os.fdatasync(file)
            os.write(1, f"{number}\n".encode())
            number += 1
    except OSError:
        return 0  # The power is gone.


def control_check(folder, lines):
    try:
        with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as file:
            found = file.read()
    except FileNotFoundError:
        found = ""
    with open(lines, encoding="utf-8") as file:
        for number in map(int, file):
            if found[number * RECORD_BYTES:(number + 1) * RECORD_BYTES] != record(number):
                print(number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
