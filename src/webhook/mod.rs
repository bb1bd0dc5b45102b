//! The admission webhook.
//!
//! [`connections`] limits the connections, [`server`] serves HTTPS on them, [`review`] reads an AdmissionReview and
//! writes the answer, [`handler`] finds the reviews of new claims, and [`claim_review`] decides the answer and provisions
//! the volume.

mod body;
mod claim_review;
mod connections;
pub mod handler;
mod restore_review;
pub mod review;
pub mod server;
