//! Runs the calls of a step, and measures their time.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::report::{Finding, Line, Step};
use crate::storage::StorageError;

/// Runs the calls of a step, and adds its line. Returns the result of the calls; `None` if they failed.
pub async fn step<T>(
    lines: &mut Vec<Line>,
    step: Step,
    calls: impl Future<Output = Result<T, StorageError>>,
    describe: impl FnOnce(&T) -> (Finding, String),
) -> Option<T> {
    let began = Instant::now();
    let done = calls.await;
    let time = Some(began.elapsed());
    let (result, detail) = match &done {
        Ok(done) => describe(done),
        Err(error) => (Finding::Failed, error.cause.clone()),
    };
    lines.push(Line {
        step,
        result,
        time,
        detail,
    });
    done.ok()
}

/// Returns the deadline of a step that begins now.
pub fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}
