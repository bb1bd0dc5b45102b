//! Bindery: a Kubernetes NFS provisioner that makes a claim's volume inside the request that creates the claim.

pub mod policy;
pub mod storage;
