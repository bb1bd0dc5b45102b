//! NFSv3 without a mount: a client in user space (RFC 1813) over TCP, with AUTH_SYS, on the crate `nfs3_client`.
//!
//! From the wire up: [`io`] carries records for the crate, [`calls`] are its procedures as values, [`mount`] finds the way
//! to a share, and [`pool`] keeps connections; [`attempt`] sends what a verb has to send, as often as it may, and
//! [`diagnose`] says what went wrong; [`walk`], [`make`], [`moves`], [`list`] and [`tree`] are the verbs. How a verb is run
//! is [`crate::storage::nfs::attempt`]'s.
//!
//! What the protocol does not offer is said by the verbs: there are no sessions, so a call that was given up may take
//! effect late; and there is no VERIFY, so a directory may be replaced between a look and a deed.
//!
//! Left out: reading and writing files, locks, Kerberos, UDP.

#![allow(
    clippy::doc_markdown,
    reason = "names of the protocol, AUTH_SYS and NOT_SAME, read better plain"
)]

mod attempt;
mod calls;
mod diagnose;
mod io;
mod list;
mod make;
mod mount;
mod pool;
mod remove_tree;
mod rename;
mod walk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::time::Instant;

use self::attempt::Attempt;
use self::make::EarlierRounds;
use self::pool::Pool;
use self::walk::Walk;
use super::NfsOptions;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::share_id::{ShareId, View};
use crate::storage::messages::Action;
use crate::storage::{Existing, Found, Made, Moved, Removed, Storage, StorageError, Tree};

/// How much of its time a tree removal leaves unused at most, so that the last call is answered before the deadline.
const LONGEST_MARGIN: Duration = Duration::from_millis(500);

/// [`Storage`] on NFSv3 servers: whichever a share names, each share with connections of its own.
///
/// Nothing is sent before the first verb. A verb may be dropped at any time; that is like a crash at that point.
///
/// - **Late calls.** Version 3 offers nothing against them. The connection of a call without an answer is cut, so that this
///   host sends nothing more; what has reached the server by then may still take effect at any time, also after the next verb.
///   A verb that lost a call and then failed says [`crate::storage::Outcome::Unknown`].
/// - [`Storage::rename`] looks, renames, looks again, and moves back what was not meant. If that cannot be done, or was cut
///   short, the next call says so and moves nothing.
/// - [`Storage::remove_empty`] looks, then removes: an empty directory that takes the place in between is removed instead.
#[derive(Debug)]
pub struct Nfs3Storage {
    options: Arc<NfsOptions>,
    /// By server and path; gone when nobody needs it.
    pools: Mutex<HashMap<(String, String), Weak<Pool>>>,
}

impl Nfs3Storage {
    /// A client without connections.
    pub fn new(options: NfsOptions) -> Self {
        let mut options = options;
        options.machine.truncate(options.machine.floor_char_boundary(255));
        Self {
            options: Arc::new(options),
            pools: Mutex::default(),
        }
    }

    fn pool(&self, share: &Share) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (share.server().to_owned(), share.path().to_owned());
        if let Some(pool) = pools.get(&name).and_then(Weak::upgrade) {
            return pool;
        }
        pools.retain(|_, pool| pool.strong_count() > 0);
        let pool = Pool::new(share, self.options.clone());
        pools.insert(name, Arc::downgrade(&pool));
        pool
    }
}

#[async_trait]
impl Storage for Nfs3Storage {
    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        let pool = self.pool(share);
        let attempt = Attempt::new(&pool, share, format!("look up directory {directory}"), deadline);
        let (parents, last) = directory.split_last();
        let once = || async {
            let Walk::Found(parent) = attempt.walk(&parents).await? else {
                return Ok(None);
            };
            let Some(spot) = attempt.look(&parent.handle, last.as_bytes()).await? else {
                return Ok(None);
            };
            attempt.directory(&spot, Action::Segment(last))?;
            Ok(Some(spot.file.found()))
        };
        attempt.run(|| once().boxed()).await
    }

    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError> {
        let pool = self.pool(share);
        let attempt = Attempt::new(&pool, share, "look at the share".to_owned(), deadline);
        let once = || async {
            let root = attempt.walk(&[]).await?.must_exist()?;
            Ok(ShareId {
                view: View::V3,
                root: root.file.found().identity,
                server: None,
            })
        };
        attempt.run(|| once().boxed()).await
    }

    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError> {
        let pool = self.pool(share);
        let attempt = Attempt::new(&pool, share, format!("look above directory {directory}"), deadline);
        let (parents, _) = directory.split_last();
        let once = || async {
            let mut segments = &parents[..];
            loop {
                match attempt.walk(segments).await? {
                    Walk::Found(spot) => return Ok(spot.file.found()),
                    // At least one fewer each time; of the share, a walk never says that it is missing.
                    Walk::Missing(at) => segments = &segments[..at],
                }
            }
        };
        attempt.run(|| once().boxed()).await
    }

    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError> {
        let pool = self.pool(share);
        let attempt = Attempt::new(&pool, share, format!("make directory {directory}"), deadline);
        let earlier = EarlierRounds::default();
        attempt
            .run(|| attempt.make(directory, attributes, existing, &earlier).boxed())
            .await
    }

    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError> {
        let pool = self.pool(share);
        let attempt = Attempt::new(&pool, share, format!("move directory {from} to {to}"), deadline);
        attempt.run(|| attempt.rename(from, expected, to).boxed()).await
    }

    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError> {
        let pool = self.pool(share);
        let attempt = Attempt::new(
            &pool,
            share,
            format!("remove the empty directory {directory}"),
            deadline,
        );
        attempt.run(|| attempt.remove_empty(directory, expected).boxed()).await
    }

    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError> {
        let pool = self.pool(share);
        let attempt = Attempt::new(
            &pool,
            share,
            format!("remove directory {directory} with all in it"),
            deadline,
        );
        let margin = deadline.saturating_duration_since(Instant::now()) / 4;
        let until = deadline.checked_sub(margin.min(LONGEST_MARGIN)).unwrap_or(deadline);
        attempt.run(|| attempt.remove_tree(directory, until).boxed()).await
    }

    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError> {
        let pool = self.pool(share);
        let what = directory.map_or_else(
            || "list the share".to_owned(),
            |directory| format!("list directory {directory}"),
        );
        let attempt = Attempt::new(&pool, share, what, deadline);
        attempt.run(|| attempt.list(directory).boxed()).await
    }
}
