#!/usr/bin/env bash
# Stops what was started from this folder, and removes every trace that the other targets left in it.
#
# - A process is ours when its command line names this folder's .lianfang/ (nodes, key services, RabbitMQ), or when it is a
#   part of Erlang whose environment does. Each is stopped by its id; nothing is stopped by name.
# - What is removed is a list, not "all that git ignores": an editor's files and your own .env stay.
set -euo pipefail
cd "$(dirname "$0")/../.."
state=$PWD/.lianfang

main() {
  local pids
  if [ -d "$state" ]; then
    [ ! -x .venv/bin/lianfang ] || timeout 30 .venv/bin/lianfang broker stop >/dev/null 2>&1 || true
    pids=$(ours)
    if [ -n "$pids" ]; then
      # shellcheck disable=SC2086 # a list of ids
      kill $pids 2>/dev/null || true
      wait_for_end || { kill -9 $(ours) 2>/dev/null || true; }
      echo "lianfang: stopped" $pids
    fi
  fi
  rm -rf .lianfang .venv dist build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
    .grimp_cache
  find bus schemas adapters audit deploy tests -name __pycache__ -type d -prune -exec rm -rf {} +
}

ours() {
  local process name
  for process in /proc/[0-9]*; do
    [ -O "$process" ] || continue
    name=$(cat "$process/comm" 2>/dev/null) || continue
    case $name in
      python* | lianfang*) names_state "$process/cmdline" || continue ;;
      beam.smp | epmd | erl* | inet_gethost | rabbitmq*) names_state "$process/cmdline" "$process/environ" || continue ;;
      *) continue ;;
    esac
    printf '%s ' "${process#/proc/}"
  done
}

names_state() {
  cat "$@" 2>/dev/null | tr '\0' '\n' | grep -qF "$state/"
}

wait_for_end() {
  local _
  for _ in {1..100}; do
    [ -n "$(ours)" ] || return 0
    sleep 0.1
  done
  return 1
}

main
