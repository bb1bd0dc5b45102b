//! The API server's audit log: every call of Bindery's ServiceAccount, and nobody else's.

use std::path::PathBuf;

use serde_json::Value;

/// All calls so far, in the words of audit.k8s.io/v1.
pub fn calls() -> Vec<Value> {
    let bed = PathBuf::from(std::env::var("BINDERY_BED").expect("run `make test`"));
    let log = std::fs::read_to_string(bed.join("apiserver/audit.log")).expect("the audit log");
    // The last line may be half written.
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
