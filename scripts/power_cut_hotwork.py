#!/usr/bin/env python3
"""The writer and the checker for scripts/power_cut.py that are the real broker.

  power_cut_hotwork.py write DIR          starts `hotworkd dev` on DIR/state and issues with several callers;
                                          prints the id of each credential that was acknowledged
  power_cut_hotwork.py check DIR FILE     verifies the log with the public key alone, starts the broker again,
                                          and prints each id of FILE that it does not know

BIN names the directory of the binaries (default target/release). After the cut the writer's daemon can't write,
so that it acknowledges nothing more; a log that does not verify, or a broker that does not start, is a failure
and no lost line.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("BIN", os.path.join(HERE, "target", "release"))
CALLERS = 8


def main():
    if sys.argv[1] == "write":
        return write(sys.argv[2])
    return check(sys.argv[2], sys.argv[3])


def start(folder):
    """The daemon on the folder, ready, and its endpoints."""
    state = os.path.join(folder, "state")
    env_file = os.path.join(state, "env")
    if os.path.exists(env_file):
        os.unlink(env_file)
    daemon = subprocess.Popen([os.path.join(BIN, "hotworkd"), "dev", "--state-dir", state],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not os.path.exists(env_file):
        if daemon.poll() is not None:
            raise SystemExit(f"the broker did not start: {daemon.stderr.read()}")
        if time.monotonic() > deadline:
            raise SystemExit("the broker was not ready in 30 s")
        time.sleep(0.01)
    with open(env_file, encoding="utf-8") as lines:
        pairs = dict(line.rstrip("\n").split("=", 1) for line in lines if "=" in line)
    return daemon, {**os.environ, **pairs}


def hotwork(env, *arguments):
    return subprocess.run([os.path.join(BIN, "hotwork"), *arguments, "-o", "json"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)


def write(folder):
    daemon, env = start(folder)
    signal.signal(signal.SIGTERM, lambda *_: daemon.kill())

    def issue():
        while True:
            done = hotwork(env, "issue", "demo.read", "--resource", "demo/power")
            if done.returncode != 0:
                return
            os.write(1, (json.loads(done.stdout)["credential"]["id"] + "\n").encode())

    callers = [threading.Thread(target=issue) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    daemon.kill()
    return 0


def check(folder, lines):
    state = os.path.join(folder, "state")
    verified = hotwork(dict(os.environ), "audit", "verify", state, "--key", os.path.join(state, "log.pub"))
    if verified.returncode != 0:
        raise SystemExit(f"the log does not verify after the cut: {verified.stdout}")
    daemon, env = start(folder)
    try:
        known = {one["id"] for one in listed(env)}
        with open(lines, encoding="utf-8") as file:
            for line in file:
                if line.strip() not in known:
                    print(line.strip())
    finally:
        daemon.terminate()
        daemon.wait()
    return 0


def listed(env):
    found = hotwork(env, "credential", "list", "--all", "--ended", "--limit", "1000000")
    if found.returncode != 0:
        raise SystemExit(f"the credentials can't be listed: {found.stdout}")
    return json.loads(found.stdout).get("credentials", [])


if __name__ == "__main__":
    sys.exit(main())
