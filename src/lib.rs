//! Bindery is a Kubernetes provisioner for NFS. It gives every PersistentVolumeClaim its own directory on an NFS
//! server, inside the request that creates the claim.
//!
//! # Creating a claim
//!
//! ```text
//! API server ── admission review ──> webhook (every replica)
//!                                      1. decide: pass, refuse, or provision        policy::decide
//!                                      2. create the PersistentVolume               provision
//!                                      3. create the directory on the NFS server    provision, storage
//!                                      4. answer: spec.volumeName
//! API server ── watch ─────────────> controller (the replica with the Lease)
//!                                      5. make sure of the directory                controller::volumes
//!                                      6. write the claim's uid into the volume     controller::volumes
//!                                    Kubernetes binds both.
//! ```
//!
//! The volume is the record of the intent: it is created before its directory. If the process dies after any step, the
//! controller finds the volume and finishes or undoes the work. A claim that the webhook did not serve gets its volume
//! from the controller, by the same decision and the same effects ([`provision`]).
//!
//! # Deleting a claim
//!
//! ```text
//! API server ── watch: Released ───> controller
//!                                      1. plan the next step                        policy::reconcile
//!                                      2. write on the volume where the directory goes
//!                                      3. rename it aside, only if it is the right directory
//!                                      4. read the volume again, rename to an archive or to the trash
//!                                      5. remove the finalizer: the volume is gone
//!                                      6. later: remove the files in the trash
//! ```
//!
//! Nothing that is needed after a restart is stored only in memory. A Lease does not stop a replica that was paused, so
//! destructive writes have preconditions: the uid and the version of a volume, or values in it, and the identity of a
//! directory. NFSv3 and mounts cannot check and rename in one request, so there a wrong directory is moved back
//! afterwards. A directory in the trash is removed only if its volume does not exist any more.
//!
//! # Modules
//!
//! [`model`] has the values that all parts speak about. [`policy`] decides: pure functions from objects to values.
//! [`storage`] and [`cluster`] reach NFS servers and the API server. [`provision`] carries out a decision. [`webhook`]
//! and [`controller`] call both and do not know each other. [`commands`] puts the parts together. docs/architecture.md
//! has the table of what each may import, and `cargo test --test architecture` checks it.

pub mod breaker;
pub mod certificate;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod controller;
pub mod failpoints;
pub mod model;
pub mod ops;
pub mod policy;
pub mod provision;
pub mod registration;
pub mod storage;
pub mod webhook;
