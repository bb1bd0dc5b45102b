//! Asks the NFS servers for the size and the free space of all shares in use, and whether they answer.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::record::Record;
use crate::controller::context::storage_deadline;
use crate::controller::leader::Leader;
use crate::controller::shares_in_use::shares_in_use;
use crate::model::directory::Share;
use crate::model::share_space::ShareSpace;
use crate::model::space::Space;
use crate::ops::metrics::Metrics;

/// The number of shares that are asked for at the same time.
const PARALLEL: usize = 16;
/// The shortest time between two rounds.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);

/// Asks for the space of all shares at the start of the term, after each interval, and when a server stops to answer or
/// answers again. Never returns.
pub async fn run(leader: &Leader) {
    let interval = leader.ctx.options.space_interval;
    let _clear = ClearMetrics(&leader.ctx.metrics);
    let mut record = Record::default();
    let mut outages = leader.ctx.outages.changes();
    while !interval.is_zero() {
        outages.mark_unchanged();
        let shares = measure_all(leader).await;
        record.write(leader, &shares).await;
        leader.ctx.metrics.space.set_shares(shares);
        let ended = Instant::now();
        sleep_until(ended + interval.min(SHORTEST_PAUSE)).await;
        tokio::select! {
            () = sleep_until(ended + interval) => {}
            // The sender is in the context.
            _ = outages.changed() => {}
        }
    }
    std::future::pending::<()>().await;
}

/// Removes the metrics at the end of the term, because only the leader measures.
struct ClearMetrics<'a>(&'a Metrics);

impl Drop for ClearMetrics<'_> {
    fn drop(&mut self) {
        self.0.space.set_shares(Vec::new());
    }
}

/// Returns each share in use once, although it may be used with several NFS versions. A share whose server does not answer
/// has no space.
async fn measure_all(leader: &Leader) -> Vec<ShareSpace> {
    let mut shares: BTreeMap<(String, String), Vec<Share>> = BTreeMap::new();
    for share in shares_in_use(leader) {
        let key = (share.server().to_owned(), share.path().to_owned());
        shares.entry(key).or_default().push(share);
    }
    let measured = stream::iter(shares).map(async |((server, path), versions)| {
        let space = measure(leader, &versions).await;
        let down = versions
            .iter()
            .filter_map(|share| leader.ctx.outages.since(share))
            .min();
        // It may answer in one version, and not in another.
        let down = down.filter(|_| space.is_none());
        ShareSpace::new(server, path, space, Timestamp::now()).with_outage(down)
    });
    measured.buffered(PARALLEL).collect().await
}

/// Asks for the space of a share, in the first version in which the server tells it.
async fn measure(leader: &Leader, versions: &[Share]) -> Option<Space> {
    for share in versions {
        match leader.ctx.storage.space(share, None, storage_deadline()).await {
            Ok(Some(space)) => return Some(space),
            Ok(None) => {}
            Err(error) => tracing::debug!(%share, %error, "could not read the space of a share"),
        }
    }
    None
}
