//! The loops that the leading replica runs.
//!
//! Volumes are bound to their claims and cleaned up when these are gone ([`volumes`]). Claims that the webhook gave no
//! volume get theirs ([`claims`]), and those that ask for more than they have get it ([`expansion`]). Each loop is a
//! `kube::runtime::Controller`, or waits on a timer where what it looks at cannot be watched. A function takes a
//! [`Context`] if it only looks, and a [`leader::Leader`] if it acts. Those that work on one volume take a
//! [`volumes::step::Step`], which has both.

mod annotation_warnings;
mod claims;
mod class_events;
mod context;
mod error;
mod expansion;
mod leader;
mod volumes;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use self::context::{Context, Options};
use self::leader::Leader;
use crate::cluster::lease::Term;

/// Runs all loops for one term of leadership. Returns when the steps that are in progress at its end have ended.
pub async fn run(ctx: Arc<Context>, term: Term) {
    let stop = term.stop.clone();
    let (trash, handed_over) = mpsc::unbounded_channel();
    let leader = Arc::new(Leader::new(ctx, term, trash));
    tokio::join!(
        volumes::run(Arc::clone(&leader), stop.clone()),
        claims::run(Arc::clone(&leader), stop.clone()),
        expansion::run(Arc::clone(&leader), stop.clone()),
        stop.run_until_cancelled(class_events::run(&leader.ctx)),
        stop.run_until_cancelled(volumes::retention::run(&leader)),
        stop.run_until_cancelled(volumes::empty_trash::run(&leader, handed_over)),
        stop.run_until_cancelled(volumes::identities::run(&leader)),
    );
}
