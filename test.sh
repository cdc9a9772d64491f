#!/usr/bin/env bash
# Tests everything, or some of it; the last line counts.
#
#   ./test.sh            all; installs what it needs (Debian, as root), about 25 minutes on two cores
#   ./test.sh quick      format, vet and unit tests: nothing to install but Go, under three minutes
#   ./test.sh STEP ...   some steps; ./test.sh help lists them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v go >/dev/null || { echo "test: Go is not installed; see https://go.dev/dl" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/run" ./test/run # not go run, which would say the last word
"$dir/run" "$@"
