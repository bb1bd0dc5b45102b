//! The summary of the object of an archive.

use jiff::Timestamp;
use kube::ResourceExt;

use super::cached::Summary;
use crate::model::archive::{Archive, ArchivePhase, ArchiveRecord};
use crate::model::names;
use crate::model::usage::Usage;
use crate::model::volume::Installation;

/// The summary of the object of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveSummary {
    /// Its uid.
    pub uid: String,
    /// The installation that wrote it.
    pub maker: Installation,
    /// Where the archive is; the error says which field is wrong.
    pub record: Result<ArchiveRecord, String>,
    /// Whether it has Bindery's finalizer.
    pub has_finalizer: bool,
    /// Its phase; `None` if it has no status yet.
    pub phase: Option<ArchivePhase>,
    /// The time in its status when the archive expires.
    pub expires: Option<Timestamp>,
    /// Since when the directory is missing.
    pub missing_since: Option<Timestamp>,
    /// The annotation that says how long the archive is kept.
    pub keep_until: Option<String>,
    /// The value of that annotation that is on the share.
    pub keep_until_applied: Option<String>,
    /// The space that it uses, as last measured.
    pub usage: Option<Usage>,
    /// The class of its claim.
    pub class: Option<String>,
    /// The namespace of its claim.
    pub claim_namespace: Option<String>,
    /// The uid of that namespace.
    pub namespace_uid: Option<String>,
}

impl Summary for ArchiveSummary {
    type Of = Archive;

    fn summarize(archive: Archive) -> Self {
        let status = archive.status.as_ref();
        Self {
            uid: archive.uid().unwrap_or_default(),
            record: ArchiveRecord::read(&archive),
            has_finalizer: archive.finalizers().iter().any(|held| held == names::ARCHIVE_FINALIZER),
            phase: status.map(|status| status.phase),
            expires: status.and_then(|status| status.expires_at.as_ref().map(|time| time.0)),
            missing_since: archive.missing_since(),
            keep_until: archive.keep_until().map(str::to_owned),
            keep_until_applied: archive.keep_until_applied().map(str::to_owned),
            usage: archive.usage(),
            maker: Installation {
                provisioner: archive.spec.provisioner,
                instance: archive.spec.instance,
            },
            class: archive.spec.storage_class_name,
            claim_namespace: archive.spec.claim_namespace,
            namespace_uid: archive.spec.namespace_uid,
        }
    }
}
