#!/usr/bin/env bash
# The figures of docs/PERFORMANCE.md for issuing and revoking, and of the start in docs/RELIABILITY.md, on this machine:
# some fifteen minutes. The parts and the checks at the door are `cargo bench`.
#
#   scripts/measure.sh [DIR]      DIR must be on a real disk; /var/tmp if not given
#
#   RECORDS   records of the full store, and revocations before those that are measured (default 1000000)
#   BIN       where the release binaries are (default target/release, built first)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

records=${RECORDS:-1000000}
bin=${BIN:-target/release}
state=${1:-/var/tmp}/hotwork-measure.$$
mkdir "$state"
daemon=
trap 'stop; rm -rf "$state"' EXIT

say() { printf '\n== %s\n' "$*"; }

# Starts the daemon and tells how long it took to be ready.
start() {
    local begin now
    rm -f "$state/env"
    begin=$(date +%s%N)
    "$bin/hotworkd" dev --state-dir "$state" >/dev/null 2>"$state.log" &
    daemon=$!
    until [[ -f $state/env ]]; do
        kill -0 "$daemon" 2>/dev/null || { cat "$state.log" >&2; exit 1; }
        sleep 0.005
    done
    now=$(date +%s%N)
    echo "ready after $(((now - begin) / 1000000)) ms"
    # shellcheck disable=SC1091
    . "$state/env"
}

stop() {
    [[ -z $daemon ]] && return 0
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    daemon=
}

memory() { echo "resident memory $(($(awk '/VmRSS/ { print $2 }' "/proc/$daemon/status") / 1024)) MiB"; }

size() { "$bin/hotwork" status -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["logSize"])'; }

bench() { "$bin/hotwork" bench "$@" 2>/dev/null; }

# A thousand agents with ten policies each, beside the demonstration's, and one over everybody with a condition,
# so that Cedar is asked for every request.
many_policies() {
    python3 - "$state/config" <<'PY'
import pathlib, sys
root = pathlib.Path(sys.argv[1])
actions = ["demo.read", "demo.write"]
policies = []
for at in range(1000):
    entry = f'name = "fleet-{at}"\ntenant = "default"\nowner = "measure"\npurpose = "measure"\nreview = "2030-01-01"\n' \
            f'[rules]\n"unix.uid" = {100000 + at}\n'
    (root / "agents" / f"fleet-{at}.toml").write_text(entry)
    who = f'Agent::"spiffe://dev.hotwork.example/tenant/default/agent/fleet-{at}"'
    policies += [f'permit (principal == {who}, action == Action::"{actions[n % 2]}", resource in Resource::"demo/{at}");'
                 for n in range(10)]
policies.append('forbid (principal, action, resource) when { context.ttl > 890 };')
for at in range(0, len(policies), 1000):
    (root / "policies" / f"fleet-{at}.cedar").write_text("\n".join(policies[at:at + 1000]) + "\n")
PY
}

[[ -n ${BIN:-} ]] || cargo build --release --locked
# With as many revoked before, once more: the first run comes right after they were written.
for revoked in 0 $((records / 10)) "$records"; do
    say "revoking, $revoked revoked before"
    start
    bench revoke --subscribers 1 --callers 8 --revoked-before "$revoked"
    ((revoked == 0)) || bench revoke --subscribers 1 --callers 8
    memory
    stop
    rm -rf "$state"
done
say "revoking, $((records / 5)) live credentials revoked one by one before, lists fetched once a second"
start
bench revoke --subscribers 1 --callers 8
bench revoke --subscribers 1 --callers 8 --revocations 20000 --live-before "$((records / 5))" --fetch "$HOTWORK_HTTP"
memory
stop
rm -rf "$state"
say "revoking, 100 subscribers"
start
bench revoke --subscribers 100 --callers 1
bench revoke --subscribers 100 --callers 8 --credentials 100000
stop
rm -rf "$state"
say "empty store"
start
memory
for kind in token cert; do
    say "$kind, empty store, 4 policies"
    bench --kind "$kind"
done
stop

say "10,005 policies, one with a condition that holds for every request"
many_policies
start
"$bin/hotwork" status -o json | grep -E '"(agents|policies)"'
bench --callers 64
stop
rm -f "$state"/config/agents/fleet-*.toml "$state"/config/policies/fleet-*.cedar

say "filling the log to $records entries"
start
while (($(size) < records)); do bench --callers 256 --duration 20s >/dev/null; done
size
memory
stop
say "start with the full store"
start
memory
for kind in token cert; do bench --kind "$kind" --callers 1,64; done
stop
say "start without the index"
rm -rf "$state/index"
start
memory
