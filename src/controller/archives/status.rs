//! Writes the status of the object of an archive.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Api;
use kube::ResourceExt;

use super::find::Found;
use crate::cluster::archives::write_status;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::model::archive::{Archive, ArchivePhase, ArchiveRecord, ArchiveStatus, FOUND, REMOVING, seconds};
use crate::model::directory::Directory;
use crate::model::names::reason;

/// Writes the status if it differs from what was found on the share.
pub async fn write(ctx: &Context, archive: &Archive, record: &ArchiveRecord, found: &Found) -> Result<(), Error> {
    let before = archive.status.as_ref();
    let now = status(record, found, before, Timestamp::now());
    if before == Some(&now) {
        return Ok(());
    }
    let archives: Api<Archive> = Api::namespaced(ctx.cluster.client.clone(), &archive.namespace().unwrap_or_default());
    write_status(&archives, archive, &now).await?;
    // The Events about an object that is being deleted say what becomes of it.
    let is_deleted = archive.metadata.deletion_timestamp.is_some();
    let was_missing = before.is_some_and(|before| before.phase == ArchivePhase::Missing);
    if now.phase == ArchivePhase::Missing && !was_missing && !is_deleted {
        let note = format!(
            "directory {} of share {} was not found; this Archive is deleted after a day if it does not return",
            record.directory, record.share
        );
        ctx.events.warn(archive, reason::ARCHIVE_MISSING, note);
    }
    Ok(())
}

/// Writes into the object that its directory, which is here, is being moved to the trash.
pub async fn write_removing(ctx: &Context, archive: &Archive, place: &Directory) -> Result<(), Error> {
    let before = archive.status.as_ref();
    let condition = ("True", REMOVING, "the directory is being moved to the trash");
    let now = with_condition(ArchivePhase::Available, place, condition, before, Timestamp::now());
    if before == Some(&now) {
        return Ok(());
    }
    let archives: Api<Archive> = Api::namespaced(ctx.cluster.client.clone(), &archive.namespace().unwrap_or_default());
    Ok(write_status(&archives, archive, &now).await?)
}

fn status(record: &ArchiveRecord, found: &Found, before: Option<&ArchiveStatus>, now: Timestamp) -> ArchiveStatus {
    let (phase, directory, condition) = match found {
        Found::At(place) => (
            ArchivePhase::Available,
            place,
            ("True", "Found", "the directory is on the share"),
        ),
        Found::Replaced(place) => (
            ArchivePhase::Missing,
            place,
            ("False", "Replaced", "another directory has the name of the archive"),
        ),
        Found::Missing => (
            ArchivePhase::Missing,
            &record.directory,
            ("False", "Missing", "the directory is not on the share"),
        ),
    };
    with_condition(phase, directory, condition, before, now)
}

fn with_condition(
    phase: ArchivePhase,
    directory: &Directory,
    (is_found, why, message): (&str, &str, &str),
    before: Option<&ArchiveStatus>,
    now: Timestamp,
) -> ArchiveStatus {
    let same = before.and_then(|before| {
        let mut conditions = before.conditions.iter();
        conditions.find(|condition| condition.type_ == FOUND && condition.status == is_found)
    });
    let condition = Condition {
        type_: FOUND.to_owned(),
        status: is_found.to_owned(),
        reason: why.to_owned(),
        message: message.to_owned(),
        last_transition_time: same.map_or(Time(seconds(now)), |same| same.last_transition_time.clone()),
        observed_generation: None,
    };
    ArchiveStatus {
        phase,
        directory: directory.to_string(),
        expires_at: directory.archive_times().and_then(|(_, until)| until).map(Time),
        restore: before.and_then(|before| before.restore.clone()),
        conditions: vec![condition],
    }
}
