# shellcheck shell=bash
# Functions that the commands of the test bed share, for bash with `set -euo pipefail`.
#
# A *part* is one of the processes below. In $CLUSTER_DIR/run it has NAME.sh, which runs it in the foreground, NAME.pid
# and NAME.log.
# shellcheck disable=SC2034 # used by the scripts that source this file
parts=(bindery kwok scheduler kcm apiserver-2 apiserver etcd nfs) # in the order in which they are stopped

bed=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$(dirname "$bed")")
cluster=$(realpath -m "${CLUSTER_DIR:-$checkout/target/cluster}")
run=$cluster/run
mark=$cluster/.bindery-bed # files are removed only in a folder that has this file

say() { printf '  %s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Runs a command as root: only the NFS server needs it.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Prints the pid of a part if it runs. Another process may have got the pid, so the process must also have the part's name
# and folder in its environment (see `define` in up). A zombie has no environment.
pid_of() { # name
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  if [ -r "/proc/$pid/environ" ]; then
    grep -qszxF "BINDERY_BED_PART=$run/$1" "/proc/$pid/environ" || return 1
  elif [ -e "/proc/$pid" ]; then
    as_root grep -qszxF "BINDERY_BED_PART=$run/$1" "/proc/$pid/environ" 2>/dev/null || return 1
  else
    return 1
  fi
  printf '%s\n' "$pid"
}

listens() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; } # address, port

http_ok() { # address, port, path: plain HTTP, answered with 200
  local status
  status=$(
    exec 3<>"/dev/tcp/$1/$2" && printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3 && timeout 2 head -n 1 <&3
  ) 2>/dev/null && [[ $status == *" 200 "* ]]
}
