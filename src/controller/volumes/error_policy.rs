//! Reports a failed reconcile of a volume, and schedules the next one.

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::legacy;
use crate::cluster::patch;
use crate::controller::context::{Context, RECHECK};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::backoff::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::model::directory::Directory;
use crate::model::names::{self, reason, volume_annotation};
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::volume::{Phase, Record, Volume};

/// The number of failures in a row after which an error is reported that is usually temporary.
const REPORT_AFTER: u32 = 5;

/// Writes an Event if an administrator can act on the error. Returns when the volume is reconciled again.
pub fn error_policy(leader: &Leader, volume: &Volume, error: &Error) -> Action {
    let ctx = &leader.ctx;
    // The failed reconcile may have written to the volume.
    let latest = ctx.cluster.volumes.get(&ObjectRef::new(&volume.name));
    let latest = latest.filter(|latest| latest.read().uid == volume.uid);
    let volume = latest.as_ref().map_or(volume, |latest| latest.read());
    let (times, mut pause) = leader.backoff.record_failure(&volume.name);
    // The failure is recorded before the outages are read. If the outage ends after that, the volume is reconciled.
    if let (Error::Storage(_), Ok(record)) = (error, &volume.record)
        && ctx.outages.has(record.share.server())
    {
        pause = LONGEST_PAUSE;
    }
    let is_reported = match error {
        // The term may continue, or the volume may still exist; then the volume is reconciled again.
        Error::NotLeading | Error::VolumeGone => return Action::requeue(FIRST_PAUSE),
        // A change of the other volume triggers the next reconcile. The first failure is not reported.
        Error::WaitsForCleanup(_) => {
            if times > 1 {
                report(ctx, volume, error);
            }
            return Action::requeue(RECHECK);
        }
        Error::NotTakenOver(why) => return legacy::report_refusal(ctx, volume, why),
        Error::OverlapBeingCreated(_) | Error::Changed | Error::CacheBehind if times < REPORT_AFTER => {
            return Action::requeue(pause);
        }
        // The object was changed at the same time; the watch event triggers the next reconcile.
        Error::Api(error) | Error::PolicyNotWritten(_, error)
            if times < REPORT_AFTER && (patch::is_precondition_failed(error) || patch::is_not_found(error)) =>
        {
            tracing::debug!(volume = volume.name, %error, "the volume changed in the meantime");
            return Action::requeue(pause);
        }
        Error::Api(_) | Error::PolicyNotWritten(..) => {
            tracing::warn!(volume = volume.name, ?pause, "{error}; Bindery retries");
            times >= REPORT_AFTER
        }
        Error::CacheBehind => false,
        _ => true,
    };
    ctx.metrics.step("failed");
    if is_reported {
        report(ctx, volume, error);
    }
    Action::requeue(pause)
}

/// Writes a Warning. Repeated Events with the same reason and cause are counted, and the text of the first one is kept.
fn report(ctx: &Context, volume: &Volume, error: &Error) {
    let (mut cause, mut note) = (error.cause(), error.to_string());
    let is_cleanup = volume.deleting || volume.phase == Phase::Released;
    let about = if is_cleanup {
        reason::CLEANUP_FAILED
    } else {
        reason::PROVISIONING_FAILED
    };
    note.push_str(if note.ends_with('.') {
        " Bindery retries."
    } else {
        ". Bindery retries."
    });
    // A different text needs a different cause, because repeated Events keep the first text.
    if is_cleanup
        && let Ok(record) = &volume.record
        && let Some(advice) = advice(volume, record)
    {
        note.push(' ');
        note.push_str(&advice);
        cause.push_str(match (record.moved_to.is_empty(), is_to_be_kept(volume, record)) {
            (true, _) => "",
            (false, false) => "AfterMove",
            (false, true) => "AfterMoveKept",
        });
    }
    ctx.events.warn_by_cause(volume, about, &cause, note);
}

fn is_to_be_kept(volume: &Volume, record: &Record) -> bool {
    volume.reclaim == Reclaim::Retain || record.on_delete == OnDelete::Retain
}

/// Returns what an administrator can do about the directory of a volume that is being deleted.
fn advice(volume: &Volume, record: &Record) -> Option<String> {
    let keeps = is_to_be_kept(volume, record);
    let name = &volume.name;
    let retain = format!(
        "kubectl annotate pv --overwrite {name} {}=retain",
        volume_annotation::ON_DELETE
    );
    if record.moved_to.is_empty() {
        return (!keeps).then(|| format!("To keep the directory as it is and let the volume be deleted: {retain}"));
    }
    let advice = if keeps {
        "The directory is kept. It has been moved from its path already, so it becomes an archive that never expires; \
         an Event names the archive, and then the volume is deleted."
            .to_owned()
    } else {
        format!(
            "To keep the directory: {retain}. It has been moved from its path already, so it then becomes an archive \
             that never expires, as soon as the server allows that; an Event names the archive."
        )
    };
    let places: Vec<String> = volume.may_be_at().iter().map(Directory::to_string).collect();
    Some(format!(
        "{advice} If the server is gone for good, remove the finalizer {} from the volume. The directory is at {} or \
         {}.",
        names::FINALIZER,
        record.directory,
        places.join(" or ")
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PersistentVolume;
    use serde_json::{Value, json};

    use super::*;

    const COMMAND: &str = "kubectl annotate pv --overwrite pvc-1 bindery.dev/on-delete=retain";
    const PLACES: &str = "If the server is gone for good, remove the finalizer bindery.dev/cleanup from the volume. \
                          The directory is at data or .bindery-trash/blue.pvc-1.u1.aside or \
                          .bindery-trash/blue.pvc-1.u1.";

    fn advice_on(fields: &Value) -> Option<String> {
        let mut volume = json!({
            "metadata": {"name": "pvc-1", "uid": "u1", "annotations": {
                "pv.kubernetes.io/provisioned-by": "bindery.dev/nfs",
                "bindery.dev/instance": "blue",
                "bindery.dev/share": "/export",
                "bindery.dev/sub-dir": "data",
                "bindery.dev/directory": "new",
                "bindery.dev/on-delete": "delete",
                "bindery.dev/mount-permissions": "0777",
            }},
            "spec": {
                "nfs": {"server": "nas1", "path": "/export/data"},
                "persistentVolumeReclaimPolicy": "Delete",
            },
        });
        json_patch::merge(&mut volume, fields);
        let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
        let volume = Volume::read(&volume);
        advice(&volume, volume.record.as_ref().unwrap())
    }

    #[test]
    fn before_a_move_the_directory_can_be_kept_as_it_is() {
        let expected = format!("To keep the directory as it is and let the volume be deleted: {COMMAND}");
        assert_eq!(advice_on(&json!({})), Some(expected));
        let retain = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "retain"}}});
        assert_eq!(advice_on(&retain), None, "nothing is to be advised");
    }

    #[test]
    fn after_a_move_the_advice_says_how_to_keep_the_directory_and_where_it_is() {
        let moved = json!({"bindery.dev/moved-to": ".bindery-trash/blue.pvc-1.u1"});
        let expected = format!(
            "To keep the directory: {COMMAND}. It has been moved from its path already, so it then becomes an archive \
             that never expires, as soon as the server allows that; an Event names the archive. {PLACES}"
        );
        assert_eq!(advice_on(&json!({"metadata": {"annotations": moved}})), Some(expected));
        let kept = "The directory is kept. It has been moved from its path already, so it becomes an archive that \
                    never expires; an Event names the archive, and then the volume is deleted.";
        let retain = json!({
            "metadata": {"annotations": moved},
            "spec": {"persistentVolumeReclaimPolicy": "Retain"},
        });
        assert_eq!(advice_on(&retain), Some(format!("{kept} {PLACES}")));
    }
}
