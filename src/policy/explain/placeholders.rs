//! Placeholders in an explanation for values that are known only when a claim is created.

use uuid::Uuid;

use crate::model::claim::{Claim, Name};
use crate::model::directory::{Directory, Share};
use crate::model::volume::NewVolume;

/// The uuid in the name of a volume that does not exist yet; [`ANY`] replaces it in the output.
pub(super) const NO_UUID: Uuid = Uuid::from_u128(0x6269_6e64_6572_7900_0000_0000_6578_706c);
/// The volume name in the output.
pub(super) const ANY: &str = "pvc-<uuid>";
/// The random suffix of a generated name in the output.
const ANY_SUFFIX: &str = "<random>";
/// The placeholder for the server in the output, if neither the class nor a flag of this command names it.
pub(super) const SERVER: &str = "<--nfs-server>";
/// The placeholder for the share in the output: see [`SERVER`].
pub(super) const SHARE: &str = "/<--nfs-share>";

/// Whether the share is known, because class or flags name it.
pub(super) fn is_known(share: &Share) -> bool {
    share.server() != SERVER && share.path() != SHARE
}

/// The location of a directory: `server:/path`.
pub(super) fn location(share: &Share, directory: &Directory) -> String {
    format!("{}:{}", share.server(), share.join(directory))
}

/// The name of a claim in the output.
pub(super) fn shown_name(claim: &Claim) -> String {
    match &claim.name {
        Name::Given(name) => name.clone(),
        Name::Generate(prefix) => format!("{prefix}{ANY_SUFFIX}"),
    }
}

/// Replaces the generated names in a text by placeholders.
pub(super) fn with_placeholders(claim: &Claim, new: &NewVolume, text: &str) -> String {
    text.replace(&format!("pvc-{NO_UUID}"), ANY)
        .replace(&new.claim.1, &shown_name(claim))
}
