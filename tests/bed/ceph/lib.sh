# shellcheck shell=bash
# What the commands of the Ceph cluster share, for bash with `set -euo pipefail`.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(realpath -m "${CEPH_DIR:-$here/../../../target/ceph}")
# shellcheck disable=SC2034 # used by the scripts that source this file
run=$dir/run conf=$dir/ceph.conf
# shellcheck disable=SC2034
mark=$dir/.bindery-ceph # files are removed only in a folder that has this file

fail() { printf 'ceph: %s\n' "$*" >&2; exit 1; }

# Prints the pid of a process if it runs. Another process may have got the pid, so its arguments must name the configuration.
running() { # name
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  grep -qszxF -e "$conf" "/proc/$pid/cmdline" || return 1
  printf '%s\n' "$pid"
}
