//! Every name that Bindery owns in the API: the only place that spells `bindery.dev/`.

/// The provisioner that StorageClasses name, unless `--provisioner-name` says otherwise.
pub const PROVISIONER: &str = "bindery.dev/nfs";

/// Holds a volume until its directory is taken care of. On volumes only, never on claims.
pub const FINALIZER: &str = "bindery.dev/cleanup";

/// The webhook, in whichever configuration: what users read when it refuses a claim.
pub const WEBHOOK: &str = "claims.bindery.dev";

/// The path that the webhook is called by, without the token that follows it.
pub const WEBHOOK_PATH: &str = "/mutate";

/// Stands for a claim's uid on a volume whose making did not come to a known end: no claim has it, so the controller
/// manager binds none.
pub const FENCE: &str = "00000000-0000-0000-0000-000000000000";

/// Label on a volume: a hash of server and first path segment. Volumes whose directories overlap share it.
pub const AREA: &str = "bindery.dev/area";

/// Marks on a volume. An administrator may edit `ON_DELETE` and `ARCHIVE_RETENTION`; all else is a record.
pub mod mark {
    /// Which installation of Bindery the volume belongs to.
    pub const INSTANCE: &str = "bindery.dev/instance";
    /// What happens to the directory when the claim is gone: `delete`, `archive` or `retain`.
    pub const ON_DELETE: &str = "bindery.dev/on-delete";
    /// The export, without the directory.
    pub const SHARE: &str = "bindery.dev/share";
    /// The directory, below the export.
    pub const SUB_DIR: &str = "bindery.dev/sub-dir";
    /// Whether Bindery made the directory (`new`) or found it (`adopted`).
    pub const DIRECTORY: &str = "bindery.dev/directory";
    /// The directory's identity on the server.
    pub const DIRECTORY_ID: &str = "bindery.dev/directory-id";
    /// Which file system the share is, and which server.
    pub const SHARE_ID: &str = "bindery.dev/share-id";
    /// Where the directory is being moved to, below the export, one place a line and the last one last. Written before
    /// each move: without it the directory is at its path.
    pub const MOVED_TO: &str = "bindery.dev/moved-to";
    /// The mode that the directory was made with, in octal; of an adopted one, that it would be made with were it gone.
    pub const MOUNT_PERMISSIONS: &str = "bindery.dev/mount-permissions";
    /// The owner that the directory was given, or would be.
    pub const UID: &str = "bindery.dev/uid";
    /// The group that the directory was given, or would be.
    pub const GID: &str = "bindery.dev/gid";
    /// How long the archive is kept, if the directory becomes one.
    pub const ARCHIVE_RETENTION: &str = "bindery.dev/archive-retention";
    /// How Bindery talks to the server.
    pub const NFS_VERSION: &str = "bindery.dev/nfs-version";
    /// The claim has come, and the directory was there for it.
    pub const READY: &str = "bindery.dev/ready";
    /// Which call of the webhook made the volume, or used it last: only that one may undo it.
    pub const ATTEMPT: &str = "bindery.dev/attempt";
    /// The class that the volume was made for, if Kubernetes has bound it to a claim of another class.
    pub const MADE_FOR: &str = "bindery.dev/made-for";
    /// When a repeated request for the same claim used the volume again, or the controller manager was reminded of it by a
    /// write. For people; nothing reads it.
    pub const TOUCHED: &str = "bindery.dev/touched";
    /// On a claim: it is bound, and nothing is left to do (Kubernetes' own).
    pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
    /// Which provisioner made the volume (Kubernetes' own mark: the controller manager leaves deletion to it).
    pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
}

/// What all of Bindery's own annotations begin with.
pub const PREFIX: &str = "bindery.dev/";

/// Annotations that are read; those that set a policy key are spelt by [`crate::policy::key`].
pub mod annotation {
    /// On a namespace, `"false"`: Bindery leaves its claims alone.
    pub const ENABLED: &str = "bindery.dev/enabled";
    /// On the Secret with the webhook's certificate: the names in it.
    pub const SERVING_NAMES: &str = "bindery.dev/serving-names";
    /// On a claim: whose it is to provision (Kubernetes' own; its controller manager writes it on claims without a volume).
    pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
    /// On a claim that waits for its pod: the scheduler has chosen a node (Kubernetes' own).
    pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
    /// A claim's class, from before `spec.storageClassName` (Kubernetes' own; it wins where both are set).
    pub const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    /// On a class, `"true"`: claims that say nothing of their class get this one (Kubernetes' own).
    pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
}

/// What the claim's user or the administrator reads as an Event's reason.
pub mod reason {
    /// The directory went to an archive.
    pub const ARCHIVED: &str = "DirectoryArchived";
    /// The directory went to the trash, which is emptied.
    pub const DELETED: &str = "DirectoryDeleted";
    /// The directory stays.
    pub const RETAINED: &str = "DirectoryRetained";
    /// Nothing was at the directory's place.
    pub const MISSING: &str = "DirectoryMissing";
    /// Another directory is at the place; it was left alone.
    pub const REPLACED: &str = "DirectoryReplaced";
    /// The directory could not be taken care of; it is tried again.
    pub const CLEANUP_FAILED: &str = "CleanupFailed";
    /// The directory could not be made sure of for a claim that is there; it is tried again.
    pub const PROVISIONING_FAILED: &str = "ProvisioningFailed";
    /// A directory in the trash cannot be removed; it is tried again.
    pub const TRASH_NOT_EMPTIED: &str = "TrashNotEmptied";
    /// A volume that another program made is not one that Bindery can look after.
    pub const NOT_TAKEN_OVER: &str = "NotTakenOver";
    /// A volume has Bindery's finalizer, and no installation that is known looks after it.
    pub const NOT_MANAGED: &str = "NotManaged";
    /// The claim got its volume after it was created.
    pub const PROVISIONED: &str = "Provisioned";
    /// The claim gets no volume as it is.
    pub const REFUSED: &str = "ProvisioningRefused";
    /// The claim names a volume that is not there.
    pub const VOLUME_MISSING: &str = "VolumeMissing";
    /// A class of ours has mistakes.
    pub const CLASS_BROKEN: &str = "ClassHasMistakes";
    /// A class of ours works, and says something in vain.
    pub const CLASS_WARNINGS: &str = "ClassWarnings";
    /// An annotation that the class does not let this object set.
    pub const IGNORED: &str = "AnnotationIgnored";
    /// The claim no longer is what its volume was made for.
    pub const CLAIM_CHANGED: &str = "ClaimChanged";
}

/// The controller name that Events and patches carry.
pub const CONTROLLER: &str = "bindery";

/// Whether an object of the kinds that we meet can have this name: an RFC 1123 subdomain, as Kubernetes checks it. What
/// passes needs no encoding in a path of the API; what does not pass cannot exist there.
pub fn is_object_name(name: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if alphanumeric(first) && alphanumeric(last))
            && bytes.iter().all(|&c| alphanumeric(c) || c == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether a label can have this value, as Kubernetes checks it.
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    value.len() <= 63
        && ends.into_iter().flatten().all(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}

/// Whether a label can have this key: `name` or `example.com/name`, as Kubernetes checks it.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    name.len() <= 63
        && ends.into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
        && prefix.is_none_or(is_object_name)
}
