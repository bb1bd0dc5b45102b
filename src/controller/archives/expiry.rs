//! Changes the time until which an archive is kept: the annotation `bindery.dev/keep-until` on its object.
//!
//! The name on the share is changed, because it alone counts if the cluster is lost. The status follows.

use jiff::Timestamp;

use super::find::Found;
use super::restoration;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::volumes::archive_finalizer as finalizer;
use crate::controller::volumes::archive_owner::{self, OwnerState};
use crate::failpoints::{self, Point};
use crate::model::archive::{Archive, ArchiveRecord};
use crate::model::directory::Directory;
use crate::model::invalid::Invalid;
use crate::model::names::{annotation, reason};
use crate::policy::archives;
use crate::storage::Moved;

/// Renames an archive as its object asks. Returns where it is then.
pub async fn change(
    leader: &Leader,
    archive: &Archive,
    record: &ArchiveRecord,
    place: Directory,
) -> Result<Found, Error> {
    let ctx = &leader.ctx;
    let current = place.archive_times().and_then(|(_, until)| until);
    let (annotation, applied) = (archive.keep_until(), archive.keep_until_applied());
    let wanted = match archives::expiry(annotation, applied, current, Timestamp::now()) {
        Ok(wanted) => wanted,
        Err(error) => {
            let text = annotation.unwrap_or_default();
            let note = Invalid::value(&format!("annotation {}", annotation::KEEP_UNTIL), text, &error).to_string();
            ctx.events.warn(
                archive,
                reason::KEEP_UNTIL_INVALID,
                format!("{note}. The expiry is not changed"),
            );
            return Ok(Found::At(place));
        }
    };
    let Some(target) = place.with_expiry(wanted).filter(|_| wanted != current) else {
        return Ok(Found::At(place));
    };
    if let Some(owner) = archive_owner::owner_of(ctx, archive) {
        match archive_owner::owner_state(leader, &owner, &record.share, &place).await? {
            OwnerState::Free => {}
            OwnerState::InCleanup => return Err(Error::ArchiveInUse(owner)),
            OwnerState::PutBack => return Ok(Found::Missing),
        }
    }
    if let Some(volume) = restoration::volume_of(ctx, &record.key).await? {
        return Err(Error::BeingRestored(volume.name));
    }
    // A server replaces an empty directory without an error.
    if ctx.look_up(&record.share, &target).await?.is_some() {
        return Err(Error::Changed);
    }
    leader.may_act()?;
    if ctx.rename(&record.share, &place, record.identity, &target).await? != Moved::Done {
        return Err(Error::Changed);
    }
    failpoints::point(Point::ArchiveRenamed);
    ctx.metrics.step("expiry_changed");
    let until = wanted.map_or_else(|| "forever".to_owned(), |until| format!("until {until}"));
    let note = format!("the archive is kept {until}, as {target} of share {}", record.share);
    ctx.events.normal(archive, reason::EXPIRY_CHANGED, note);
    Ok(Found::At(target))
}

/// Records which value of the annotation is on the share.
pub async fn record_applied(ctx: &Context, archive: &Archive) -> Result<(), Error> {
    let (annotation, applied) = (archive.keep_until(), archive.keep_until_applied());
    if annotation == applied || archives::expiry(annotation, applied, None, Timestamp::now()).is_err() {
        return Ok(());
    }
    finalizer::annotate(ctx, archive, annotation::KEEP_UNTIL_APPLIED, annotation).await
}
