#!/usr/bin/env bash
# Run `npm run lint` or `npm run test` in js/, or any other script of js/package.json, if Node is available.
set -euo pipefail
cd "$(dirname "$0")/../js"
major=$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/') || true
if [[ -z $major || $major -lt 20 ]] || ! command -v npm >/dev/null; then
  echo "Node 20 or later is not installed: the JavaScript is not checked" >&2
  exit
fi
if [[ ! -e node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
  npm ci --silent --no-audit --no-fund || {
    echo "cannot install the packages of js/package-lock.json: the JavaScript is not checked" >&2
    exit
  }
  touch node_modules/.package-lock.json
fi
npm run --silent "$1"
