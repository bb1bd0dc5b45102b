//! The loops that the leading replica runs.
//!
//! [`volumes`] binds volumes to their claims, and cleans them up when the claims are gone. [`claims`] provisions claims
//! that have no volume yet. [`expansion`] raises the size of claims that request more. [`archives`] keeps the objects of
//! archives. [`retention`] checks the shares. [`space`] measures shares, volumes and archives. Each loop is a `kube::runtime::Controller`, or uses a timer if its objects
//! cannot be watched. A function takes a [`Context`] if it only reads and reports, and a [`leader::Leader`] if it changes
//! something. A function that works on one volume takes a [`volumes::step::Step`], which has both.

mod annotation_warnings;
mod archives;
mod claims;
mod class_events;
mod context;
mod error;
mod expansion;
mod leader;
mod retention;
mod shares_in_use;
mod size_limit;
mod space;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

pub use self::context::{Context, Options};
use self::leader::Leader;
use crate::cluster::lease::Term;

/// Runs all loops for one term of leadership. At the end of the term, waits for the steps in progress, then returns.
pub async fn run(ctx: Arc<Context>, term: Term) {
    let stop = term.stop.clone();
    let (trash, handed_over) = mpsc::unbounded_channel();
    let leader = Arc::new(Leader::new(ctx, term, trash));
    leader.ctx.metrics.leads(true);
    tokio::join!(
        volumes::run(Arc::clone(&leader), stop.clone()),
        claims::run(Arc::clone(&leader), stop.clone()),
        stop.run_until_cancelled(claims::waiting::run(&leader.ctx)),
        expansion::run(Arc::clone(&leader), stop.clone()),
        archives::run(Arc::clone(&leader), stop.clone()),
        stop.run_until_cancelled(class_events::run(&leader.ctx)),
        stop.run_until_cancelled(retention::run(&leader)),
        stop.run_until_cancelled(space::shares::run(&leader)),
        stop.run_until_cancelled(space::usage::run(&leader)),
        stop.run_until_cancelled(volumes::empty_trash::run(&leader, handed_over)),
        stop.run_until_cancelled(volumes::identities::run(&leader)),
    );
    // The next leader counts them.
    leader.ctx.metrics.claims_waiting(&BTreeMap::new());
    leader.ctx.metrics.leads(false);
}
