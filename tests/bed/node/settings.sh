# shellcheck shell=bash
# The settings of the virtual machine that `up` starts, for the scripts of ../knfsd. KNFSD_ADDRESS is also the name of the node:
# the API server connects to the kubelet there.
node_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KNFSD_ADDRESS=${KNFSD_ADDRESS:-127.0.0.22}
KNFSD_DIR=$(realpath -m "${KNFSD_DIR:-$node_folder/../../../target/node}")
KNFSD_MEMORY=${KNFSD_MEMORY:-2048}
KNFSD_HOST=1
KNFSD_PORTS=10250 # of the kubelet
export KNFSD_ADDRESS KNFSD_DIR KNFSD_MEMORY KNFSD_HOST KNFSD_PORTS
