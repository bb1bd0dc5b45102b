//! The admission webhook.
//!
//! [`connections`] limits the connections, [`server`] serves HTTPS on them, [`review`] reads an AdmissionReview and
//! writes the answer, and [`handler`] decides the answer and provisions the volume.

mod body;
mod connections;
pub mod handler;
pub mod review;
pub mod server;
