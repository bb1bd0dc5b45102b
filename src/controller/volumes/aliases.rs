//! Finds volumes that Bindery did not create and that use a directory under another name of its server, or by another
//! path.
//!
//! Bindery searches for them only before it moves or removes a directory, and only among volumes whose path ends with
//! the name of the directory. It asks the server that such a volume names for the identity of the directory at the
//! volume's path. If that server does not answer, the directory is kept if the volume's path contains the whole path of
//! the directory below the share.

use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use super::step::Step;
use crate::cluster::cache::CachedVolume;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::model::directory::{Directory, Share};
use crate::model::foreign_volume::ForeignLocation;
use crate::model::identity::Identity;
use crate::model::location::Location;
use crate::model::share_id::{View, may_be_one_file};
use crate::storage::Fault;

/// The maximum time for one lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a path leads to the directory, or to a directory inside it.
enum Answer {
    Yes,
    No,
    Unknown(String),
}

/// Returns why the directory is kept, if a volume that Bindery did not create may use it or a directory inside it.
pub async fn foreign_volume_using(step: Step<'_>, location: &Location<'_>) -> Result<Option<String>, Error> {
    let Step { ctx, volume, .. } = step;
    // Without an identity the directory does not exist, so no volume uses it.
    let Some(identity) = location.identity else {
        return Ok(None);
    };
    let may_use = |other: &CachedVolume| {
        let name = |place: &ForeignLocation| {
            // Other provisioners create many volumes. Only those with the whole path of the directory are looked up.
            let counts = other.is_made_by_hand() || place.has_whole_path(location);
            counts && !place.paths_with_same_name(location).is_empty()
        };
        other.name_any() != volume.name && other.place().is_some_and(name)
    };
    let others = ctx.cluster.volumes.store().state_filter(may_use);
    for other in &others {
        let Some(place) = other.place() else { continue };
        let why = match names_directory(ctx, place, location, identity).await {
            Answer::Yes => "uses it or a directory inside it, by another name of the server or another path".to_owned(),
            Answer::Unknown(why) if place.has_whole_path(location) => {
                format!("may use it or a directory inside it: {why}")
            }
            Answer::No | Answer::Unknown(_) => continue,
        };
        let name = other.name_any();
        if ctx.cluster.volume(&name).await?.is_some() {
            return Ok(Some(format!("volume {name}, which Bindery did not create, {why}")));
        }
    }
    Ok(None)
}

/// Returns whether the path of a share does not exist on the server. The error "no such share" does not prove that: a
/// server also returns it for a share that this host may not see.
async fn is_missing(ctx: &Context, share: &Share) -> bool {
    let root = Share::parse(share.server(), "/").ok();
    let path = Directory::parse(share.path().trim_start_matches('/')).ok();
    let Some((root, path)) = root.zip(path) else {
        return false;
    };
    let root = root.over(share.version());
    let found = ctx.storage.look_up(&root, &path, Instant::now() + LOOKUP_TIMEOUT).await;
    matches!(found, Ok(None))
}

async fn names_directory(
    ctx: &Context,
    place: &ForeignLocation,
    location: &Location<'_>,
    identity: Identity,
) -> Answer {
    let view = location.view();
    for path in place.paths_with_same_name(location) {
        if path.contains("${") {
            return Answer::Unknown(format!(
                "its path {path} has a variable that only its driver can expand"
            ));
        }
        let Ok(share) = Share::parse(&place.server, &path) else {
            return Answer::Unknown(format!("Bindery cannot look at {}:{path}", place.server));
        };
        let share = share.over(location.share.version());
        match ctx.storage.identify(&share, Instant::now() + LOOKUP_TIMEOUT).await {
            Ok(found) => {
                let servers = found.server.zip(location.share_id.and_then(|id| id.server));
                let one_server = servers.is_some_and(|(one, other)| one == other)
                    || share.server() == location.share.server()
                    || view == View::Mounted;
                if may_be_one_file((found.view, found.root), (view, identity), one_server) {
                    return Answer::Yes;
                }
            }
            Err(error) if error.fault == Fault::NoSuchShare && is_missing(ctx, &share).await => {}
            Err(error) => return Answer::Unknown(error.to_string()),
        }
    }
    Answer::No
}
