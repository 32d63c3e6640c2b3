#!/bin/sh
# Installs the foreign verifiers of tests/interop.rs below target/interop: PyJWT and pkilint (PyPI), jose (npm).
# OpenSSL and PostgreSQL come from the system's packages. Running it again is harmless.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
dir="$root/target/interop"
mkdir -p "$dir"
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'PyJWT[crypto]>=2.10,<3' 'pkilint>=0.12,<0.14'
npm install --silent --no-audit --no-fund --prefix "$dir" 'jose@^6'
command -v openssl >/dev/null || { echo 'openssl is missing: install the package openssl' >&2; exit 1; }
touch "$dir/ready"
