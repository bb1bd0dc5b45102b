//! Volumes that Bindery did not make may name a directory under another name of its server, or by another path: the server
//! that they name is asked.
//!
//! Only when a directory is about to leave its path, and only about places that have its name. Where a server cannot be asked,
//! the directory is kept if the place has its whole path below the share.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use crate::cluster::cache::CachedVolume;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::model::directory::{Directory, Share};
use crate::model::foreign_volume::ForeignLocation;
use crate::model::location::Location;
use crate::model::share_id::{View, may_be_one_file};
use crate::model::volume::Volume;
use crate::storage::Fault;

/// Time for one question.
const ASK: Duration = Duration::from_secs(5);

/// Whether a place is a directory, or in it.
enum Answer {
    Yes,
    No,
    Unknown(String),
}

/// Why the directory is kept, if a volume that Bindery did not make may name it or one in it.
pub async fn foreign_volume_naming(
    ctx: &Context,
    volume: &Volume,
    location: &Location<'_>,
) -> Result<Option<String>, Error> {
    // A directory that is not there is nobody's.
    if location.identity.is_none() {
        return Ok(None);
    }
    let may_name = |other: &CachedVolume| {
        let name = |place: &ForeignLocation| {
            // Other programs make many volumes, and none by hand under the name of one of Bindery's directories.
            let meant = other.is_made_by_hand() || place.has_whole_path(location);
            meant && !place.namesakes(location).is_empty()
        };
        other.name_any() != volume.name && other.place().is_some_and(name)
    };
    let others = ctx.cluster.volumes.store().state_filter(may_name);
    for other in &others {
        let answer = match other.place() {
            Some(place) => names_directory(ctx, place, location).await,
            None => Answer::No,
        };
        let why = match answer {
            Answer::No => continue,
            Answer::Unknown(_) if !other.place().is_some_and(|place| place.has_whole_path(location)) => continue,
            Answer::Yes => "uses it or a directory inside it, by another name of the server or another path".to_owned(),
            Answer::Unknown(why) => format!("may use it or a directory inside it: {why}"),
        };
        let name = other.name_any();
        if exists(ctx, other).await? {
            return Ok(Some(format!("volume {name}, which Bindery did not make, {why}")));
        }
    }
    Ok(None)
}

async fn exists(ctx: &Context, other: &Arc<CachedVolume>) -> Result<bool, Error> {
    Ok(ctx.cluster.volume(&other.name_any()).await?.is_some())
}

/// Whether nothing is at the path of a share: that it is no share may also mean that this host may not look.
async fn is_missing(ctx: &Context, share: &Share) -> bool {
    let root = Share::parse(share.server(), "/").ok();
    let path = Directory::parse(share.path().trim_start_matches('/')).ok();
    let Some((root, path)) = root.zip(path) else {
        return false;
    };
    let root = root.over(share.version());
    let found = ctx.storage.look_up(&root, &path, Instant::now() + ASK).await;
    matches!(found, Ok(None))
}

async fn names_directory(ctx: &Context, place: &ForeignLocation, location: &Location<'_>) -> Answer {
    let Some(identity) = location.identity else {
        return Answer::No;
    };
    let view = location.view();
    for path in place.namesakes(location) {
        if path.contains("${") {
            return Answer::Unknown(format!(
                "its path {path} has a variable that only its driver can expand"
            ));
        }
        let Ok(share) = Share::parse(&place.server, &path) else {
            return Answer::Unknown(format!("Bindery cannot look at {}:{path}", place.server));
        };
        let share = share.over(location.share.version());
        match ctx.storage.identify(&share, Instant::now() + ASK).await {
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
