#!/usr/bin/env bash
# Makes .venv from the lock file, with hashes, and puts the project into it. Does nothing when that is already so.
#
# - The stamp is a digest of what the environment is made from; while it holds, this returns within milliseconds.
# - Nothing outside the project folder is changed, but for one thing: when Debian or Ubuntu have split `venv` off Python,
#   the package that holds it is installed by apt, as root or by sudo without a password; otherwise it says what to install.
# - Only wheels: a source archive would run code that no hash covers.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock=deploy/locks/dev.txt
stamp=.venv/lianfang.stamp

main() {
  local wanted
  wanted=$(cat "$lock" pyproject.toml "$0" | sha256sum | cut -d ' ' -f 1)
  is_current "$wanted" && return
  mkdir -p .lianfang
  exec 9>.lianfang/bootstrap.lock
  flock 9 # two makes at once: the second waits, and finds the work done
  is_current "$wanted" && return
  .venv/bin/python -m pip --version >/dev/null 2>&1 || make_environment
  say "installing what $lock names"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --only-binary=:all: --requirement "$lock" ||
    stop "pip could not install what $lock names" "see pip's words above; behind a proxy set HTTPS_PROXY or PIP_INDEX_URL"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  printf '%s\n' "$wanted" >"$stamp"
}

is_current() {
  [ -x .venv/bin/lianfang ] && [ -f "$stamp" ] && [ "$(<"$stamp")" = "$1" ]
}

make_environment() {
  local python
  python=$(find_python) || stop "no Python 3.11 or newer was found" \
    "install it (Debian 12, Ubuntu 24.04 and newer: apt-get install python3 python3-venv), or run make PYTHON=/path/to/python"
  say "making .venv with $("$python" --version)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv "$python"
  "$python" -m venv --clear .venv || stop "$python could not make .venv" "look for its words above"
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

install_venv() {
  local package
  package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  command -v apt-get >/dev/null || stop "$1 has no venv module" "install the package of your system that holds it"
  local -a root=()
  if [ "$(id -u)" -ne 0 ]; then
    root=(sudo -n)
    "${root[@]}" true 2>/dev/null || stop "$1 has no venv module, and this needs root" "run: sudo apt-get install $package"
  fi
  say "installing $package"
  { "${root[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq \
    --no-install-recommends "$package"; } >.lianfang/apt.log 2>&1 ||
    stop "apt could not install $package (its words are in .lianfang/apt.log)" "install it by hand and run again"
}

say() {
  printf 'lianfang: %s\n' "$1" >&2
}

stop() {
  printf 'lianfang: %s\n  cure: %s\n  code: LF-SETUP-0001\n' "$1" "$2" >&2
  exit 1
}

main
