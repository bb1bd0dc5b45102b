//! Every name of Bindery in the API. No other file contains the text `bindery.dev/`.

/// The default `provisioner` of StorageClasses; `--provisioner-name` replaces it.
pub const PROVISIONER: &str = "bindery.dev/nfs";

/// The group of Bindery's objects in the API.
pub const GROUP: &str = "bindery.dev";

/// The finalizer that keeps a volume until its directory is archived, removed or retained. Only volumes have it, never
/// claims.
pub const FINALIZER: &str = "bindery.dev/cleanup";

/// The finalizer that keeps the object of an archive until its directory is removed, or the object is moved to another
/// namespace.
pub const ARCHIVE_FINALIZER: &str = "bindery.dev/archive";

/// The name of the definition of archives in the API.
pub const ARCHIVES: &str = "archives.bindery.dev";

/// The `ConfigMap` in Bindery's namespace with the space of the shares.
pub const SHARES: &str = "bindery-shares";

/// The kind of the objects of archives.
pub const ARCHIVE_KIND: &str = "Archive";

/// The name of the webhook in each configuration. Users read it when the webhook refuses a claim.
pub const WEBHOOK: &str = "claims.bindery.dev";

/// The path of the webhook, without the token that follows it.
pub const WEBHOOK_PATH: &str = "/mutate";

/// The uid in the `claimRef` of a fenced volume. No claim has this uid, so the controller manager does not bind the
/// volume. Bindery writes it while it does not know whether the directory exists.
pub const UNBOUND_UID: &str = "00000000-0000-0000-0000-000000000000";

/// Label of a volume: a hash of the server and the first path segment. Volumes whose directories overlap have the same
/// value.
pub const AREA: &str = "bindery.dev/area";

/// The key of the space of all shares, in the `ConfigMap` in which the leader records it.
pub const SHARES_KEY: &str = "shares.json";

/// Label of an archive: the part of its name on the share that never changes.
pub const ARCHIVE_KEY: &str = "bindery.dev/archive-key";
/// Label of an archive: the namespace of its claim.
pub const CLAIM_NAMESPACE: &str = "bindery.dev/claim-namespace";
/// Label of an archive: its claim.
pub const CLAIM: &str = "bindery.dev/claim";
/// Label of an archive: the StorageClass of its claim.
pub const CLASS: &str = "bindery.dev/class";

/// Annotations of a volume. An administrator may edit `ON_DELETE` and `ARCHIVE_RETENTION`; all others are records.
pub mod volume_annotation {
    /// The installation of Bindery to which the volume belongs.
    pub const INSTANCE: &str = "bindery.dev/instance";
    /// What happens to the directory when the claim is gone: `delete`, `archive` or `retain`.
    pub const ON_DELETE: &str = "bindery.dev/on-delete";
    /// The export, without the directory.
    pub const SHARE: &str = "bindery.dev/share";
    /// The directory, relative to the export.
    pub const SUB_DIR: &str = "bindery.dev/sub-dir";
    /// Whether Bindery created the directory (`new`), found it (`adopted`), or gives the volume the directory of an archive
    /// (`restored`, until the claim has the volume).
    pub const DIRECTORY: &str = "bindery.dev/directory";
    /// The directory's identity on the server.
    pub const DIRECTORY_ID: &str = "bindery.dev/directory-id";
    /// The object of the archive whose directory this was: `namespace/name`.
    pub const RESTORED_FROM: &str = "bindery.dev/restored-from";
    /// The name that the claim gave: of that object, or of the claim whose newest archive it was.
    pub const RESTORED_AS: &str = "bindery.dev/restored-as";
    /// The path of that archive, relative to the export. If no claim gets the volume, the directory is moved back there.
    pub const ARCHIVE: &str = "bindery.dev/archive";
    /// The identity of its directory on the server.
    pub const ARCHIVE_ID: &str = "bindery.dev/archive-id";
    /// The NFS version in which that identity was read.
    pub const ARCHIVE_NFS_VERSION: &str = "bindery.dev/archive-nfs-version";
    /// Whether the directory keeps the mode and owner of the archive, or gets those of the class: `keep` or `class`.
    pub const RESTORE_ATTRIBUTES: &str = "bindery.dev/restore-attributes";
    /// The identity of the share's file system and of the server.
    pub const SHARE_ID: &str = "bindery.dev/share-id";
    /// The paths to which the directory is moved, relative to the export: one per line, the latest last. Bindery writes it
    /// before each move. Without it, the directory is at its path.
    pub const MOVED_TO: &str = "bindery.dev/moved-to";
    /// The mode with which the directory was created, in octal; 0 leaves the mode to the server. For an adopted directory:
    /// the mode for creating it again if it is missing.
    pub const MOUNT_PERMISSIONS: &str = "bindery.dev/mount-permissions";
    /// The owner with which the directory was created, or would be created again.
    pub const UID: &str = "bindery.dev/uid";
    /// The group with which the directory was created, or would be created again.
    pub const GID: &str = "bindery.dev/gid";
    /// The range from which that group was chosen, if the volume has a group of its own.
    pub const GID_RANGE: &str = "bindery.dev/gid-range";
    /// The group that the kubelet gives to pods with the volume (a name of Kubernetes).
    pub const POD_GID: &str = "pv.beta.kubernetes.io/gid";
    /// `set`: Bindery sets the limit of the directory's size on the server.
    pub const SIZE_LIMIT: &str = "bindery.dev/size-limit";
    /// The space that the directory uses, as last measured.
    pub const USAGE: &str = "bindery.dev/usage";
    /// How long the archive is kept, if the directory is archived.
    pub const ARCHIVE_RETENTION: &str = "bindery.dev/archive-retention";
    /// The NFS version that Bindery uses.
    pub const NFS_VERSION: &str = "bindery.dev/nfs-version";
    /// `true`: the claim exists, and the directory existed when Bindery wrote the claim's uid.
    pub const READY: &str = "bindery.dev/ready";
    /// The id of the attempt that created the volume or used it last: random in the webhook, the claim's uid in the
    /// controller. Only that attempt may remove the volume again.
    pub const ATTEMPT: &str = "bindery.dev/attempt";
    /// The class for which the volume was created, if Kubernetes has bound it to a claim of another class.
    pub const MADE_FOR: &str = "bindery.dev/made-for";
    /// The uid of the claim's namespace when the volume was created. A namespace that is created again under the same name
    /// has another uid.
    pub const NAMESPACE_UID: &str = "bindery.dev/namespace-uid";
    /// The time when a repeated request for the same claim used the volume again, or when Bindery wrote to the volume so
    /// that the controller manager reconciles it. For information only: no program reads it.
    pub const TOUCHED: &str = "bindery.dev/touched";
    /// On a claim: it is bound completely (a name of Kubernetes).
    pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
    /// The provisioner that created the volume (a name of Kubernetes: the controller manager leaves the deletion to
    /// it).
    pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
}

/// Attributes of a volume that a CSI driver mounts. They cannot be changed.
pub mod volume_attribute {
    /// The NFS server of the directory.
    pub const SERVER: &str = "bindery.dev/server";
    /// The absolute path of the directory on the server.
    pub const PATH: &str = "bindery.dev/path";
}

/// The prefix of all annotations of Bindery.
pub const PREFIX: &str = "bindery.dev/";

/// Annotations that Bindery reads. [`crate::policy::key`] has those that set a class parameter.
pub mod annotation {
    /// On a namespace, `"false"`: Bindery ignores its claims.
    pub const ENABLED: &str = "bindery.dev/enabled";
    /// On a volume of csi-driver-nfs, `"true"`: Bindery takes it over.
    pub const TAKE_OVER: &str = "bindery.dev/take-over";
    /// On an archive: the time until which it is kept, or `forever`.
    pub const KEEP_UNTIL: &str = "bindery.dev/keep-until";
    /// On an archive: the value of the former that is on the share.
    pub const KEEP_UNTIL_APPLIED: &str = "bindery.dev/keep-until-applied";
    /// On the Secret with the webhook's certificate: the names in the certificate.
    pub const SERVING_NAMES: &str = "bindery.dev/serving-names";
    /// On a claim: its provisioner (a name of Kubernetes; the controller manager writes it on claims without a volume).
    pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
    /// On a claim that waits for its pod: the node that the scheduler has chosen (a name of Kubernetes).
    pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
    /// On a claim: its class, as written before `spec.storageClassName` existed (a name of Kubernetes; it wins if both are
    /// set).
    pub const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    /// On a class: mount options, as written before `mountOptions` existed (a name of Kubernetes).
    pub const BETA_MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
    /// On a class, `"true"`: it is the class of claims that name none (a name of Kubernetes).
    pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
}

/// Reasons of Events.
pub mod reason {
    /// The directory was archived.
    pub const ARCHIVED: &str = "DirectoryArchived";
    /// The directory was moved to the trash, where it is removed.
    pub const DELETED: &str = "DirectoryDeleted";
    /// The directory of an archive is removed.
    pub const ARCHIVE_REMOVED: &str = "ArchiveRemoved";
    /// The object of an archive is deleted, and its directory is kept.
    pub const ARCHIVE_KEPT: &str = "ArchiveKept";
    /// The object of an archive was moved to another namespace.
    pub const ARCHIVE_MOVED: &str = "ArchiveMoved";
    /// The directory of an archive is not on the share.
    pub const ARCHIVE_MISSING: &str = "ArchiveMissing";
    /// The API server refused the object of an archive.
    pub const ARCHIVE_NOT_RECORDED: &str = "ArchiveNotRecorded";
    /// Something that an archive needs failed; Bindery tries again.
    pub const ARCHIVE_FAILED: &str = "ArchiveFailed";
    /// The time until which an archive is kept was changed.
    pub const EXPIRY_CHANGED: &str = "ExpiryChanged";
    /// The annotation that says how long an archive is kept is not valid.
    pub const KEEP_UNTIL_INVALID: &str = "KeepUntilInvalid";
    /// The directory was kept.
    pub const RETAINED: &str = "DirectoryRetained";
    /// The directory does not exist.
    pub const MISSING: &str = "DirectoryMissing";
    /// The directory of a volume in use does not exist any more.
    pub const LOST: &str = "DirectoryLost";
    /// Another directory has the path; Bindery did not touch it.
    pub const REPLACED: &str = "DirectoryReplaced";
    /// Archiving or removing the directory failed; Bindery tries again.
    pub const CLEANUP_FAILED: &str = "CleanupFailed";
    /// The directory of an existing claim could not be created or checked; Bindery tries again.
    pub const PROVISIONING_FAILED: &str = "ProvisioningFailed";
    /// A directory in the trash could not be removed; Bindery tries again.
    pub const TRASH_NOT_EMPTIED: &str = "TrashNotEmptied";
    /// Bindery cannot take over this volume of another program.
    pub const NOT_TAKEN_OVER: &str = "NotTakenOver";
    /// A volume has Bindery's finalizer, but no known installation manages it.
    pub const NOT_MANAGED: &str = "NotManaged";
    /// A claim got its volume after it was created.
    pub const PROVISIONED: &str = "Provisioned";
    /// The claim gets no volume, for the reason that the webhook would have given.
    pub const REFUSED: &str = "ProvisioningRefused";
    /// The claim names a volume that does not exist.
    pub const VOLUME_MISSING: &str = "VolumeMissing";
    /// A StorageClass of Bindery is not valid.
    pub const CLASS_BROKEN: &str = "ClassHasMistakes";
    /// A StorageClass of Bindery is valid, but some of its parameters have no effect.
    pub const CLASS_WARNINGS: &str = "ClassWarnings";
    /// An annotation is ignored, because the class does not allow it on this object.
    pub const IGNORED: &str = "AnnotationIgnored";
    /// Volume and claim have the requested larger size (a name of external-resizer).
    pub const RESIZED: &str = "VolumeResizeSuccessful";
    /// The larger size could not be written; Bindery tries again (a name of external-resizer).
    pub const RESIZE_FAILED: &str = "VolumeResizeFailed";
    /// The claim differs from the one for which its volume was created.
    pub const CLAIM_CHANGED: &str = "ClaimChanged";
}

/// The controller name in Events and patches.
pub const CONTROLLER: &str = "bindery";

/// Whether an object can have this name: an RFC 1123 subdomain, as Kubernetes checks it. A valid name needs no encoding
/// in an API path; an object with an invalid name cannot exist.
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
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_object_name)
}
