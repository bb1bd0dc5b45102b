//! The audit log of the API server, with every request of Bindery's ServiceAccount and no others.

use std::path::PathBuf;

use serde_json::Value;

/// Returns all requests so far, as events of audit.k8s.io/v1.
pub fn calls() -> Vec<Value> {
    let bed = PathBuf::from(std::env::var("BINDERY_BED").expect("run `make test`"));
    let log = std::fs::read_to_string(bed.join("apiserver/audit.log")).expect("the audit log");
    // The last line may be half written.
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
