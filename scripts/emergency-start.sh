#!/usr/bin/env bash
# How long an emergency start takes behind a large log: the figure of docs/RELIABILITY.md. Needs root, for a disk of its
# own that can be filled, and twenty minutes: only what is older than the longest life of a credential is carried forward.
#
#   scripts/emergency-start.sh [DIR]      DIR must be on a real disk; /var/tmp if not given
#
#   RECORDS   entries of the log (default 1000000)
#   PAUSE     seconds between the filling and the emergency (default 1000; with 0 all of the log is read)
#   BIN       where the release binaries are (default target/release, built first)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

records=${RECORDS:-1000000}
pause=${PAUSE:-1000}
bin=${BIN:-target/release}
place=${1:-/var/tmp}/hotwork-emergency.$$
disk=$place/disk
state=$disk/state
mkdir -p "$disk"
daemon=
trap 'stop; umount -l "$disk" 2>/dev/null || true; rm -rf "$place"' EXIT

[[ -n ${BIN:-} ]] || cargo build --release --locked
truncate -s $((records * 2048 + 1073741824)) "$place/image"
mkfs.ext4 -q "$place/image"
mount -o loop "$place/image" "$disk"
export HOTWORK_ENDPOINT=unix://$state/agent.sock HOTWORK_ADMIN_ENDPOINT=unix://$state/admin.sock

status() { "$bin/hotwork" status -o json 2>/dev/null || true; }

field() { status | python3 -c 'import json, sys; print(json.loads(sys.stdin.read() or "{}").get(sys.argv[1], ""))' "$1"; }

# Starts the daemon and tells how long it took until it answers an operator.
start() {
    local begin
    begin=$(date +%s%N)
    "$bin/hotworkd" "${how[@]}" >/dev/null 2>>"$place/log" &
    daemon=$!
    until [[ $(status) == *@(logSize|not-issuing)* ]]; do
        kill -0 "$daemon" 2>/dev/null || { tail -5 "$place/log" >&2; exit 1; }
        sleep 0.01
    done
    echo "$1: answers after $((($(date +%s%N) - begin) / 1000000)) ms," \
        "$(($(awk '/VmRSS/ { print $2 }' "/proc/$daemon/status") / 1024)) MiB resident"
}

stop() {
    [[ -z $daemon ]] && return 0
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    daemon=
}

how=(dev --state-dir "$state")
start "empty store"
while (($(field logSize) < records)); do "$bin/hotwork" bench --callers 256 --duration 20s >/dev/null 2>&1; done
echo "$(field logSize) entries"
stop
sleep "$pause"
start "ordinary start"
until [[ $pause == 0 || -f $state/carried ]]; do sleep 0.1; done
stop
# On a full disk there is no room for sockets, and `dev` would write its files anew.
mkdir "$place/config"
cp -r "$state/config/." "$place/config"
sed -i "s|$state/\([a-z]*\).sock|$place/\1.sock|; s|^level.*|level = \"info\"|" "$place/config/hotworkd.toml"
export HOTWORK_ENDPOINT=unix://$place/agent.sock HOTWORK_ADMIN_ENDPOINT=unix://$place/admin.sock
how=(serve --config "$place/config/hotworkd.toml")
dd if=/dev/zero of="$disk/ballast" bs=64k 2>/dev/null || true
dd if=/dev/zero of="$disk/rest" bs=4k 2>/dev/null || true
sync
start "emergency start"
grep -o 'the log was read for an emergency.*' "$place/log" | tail -1
stop
echo 3 >/proc/sys/vm/drop_caches
start "emergency start, nothing of the disk in memory"
[[ $(status) == *not-issuing* ]] || { echo "it was none" >&2; exit 1; }
