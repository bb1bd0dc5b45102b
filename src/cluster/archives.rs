//! Requests about archives: which a name may mean, who may read them, and the status of one that is given to a claim.

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::Cluster;
use super::patch::{is_conflict, is_not_found};
use crate::model::archive::{Archive, ArchiveRestoration, ArchiveStatus};
use crate::model::directory::Directory;
use crate::model::names::{self, is_label_value, is_object_name};
use crate::model::volume::Volume;

/// Objects per list request.
const PAGE_SIZE: u32 = 500;
/// How often the status is written again if the object was changed in the meantime.
const ATTEMPTS: u32 = 5;

/// The result of marking an archive as being restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The object says so.
    Done,
    /// The object is being deleted.
    Deleting,
    /// The object does not exist.
    Gone,
}

impl Cluster {
    /// Reads the archives of a namespace that a name may mean: the object of this name, and those of the claim of this name.
    /// Others are among them. Returns nothing if the definition of archives is not installed.
    pub async fn archives_named(&self, namespace: &str, name: &str) -> kube::Result<Option<Vec<Archive>>> {
        archives_named(&Api::namespaced(self.client.clone(), namespace), name).await
    }

    /// Asks the API server whether a user may do this with the archives of a namespace, or with one of them.
    pub async fn may(&self, user: &UserInfo, verb: &str, namespace: &str, name: Option<&str>) -> kube::Result<bool> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username.clone(),
                groups: user.groups.clone(),
                uid: user.uid.clone(),
                extra: user.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(names::GROUP.to_owned()),
                    resource: Some("archives".to_owned()),
                    verb: Some(verb.to_owned()),
                    namespace: Some(namespace.to_owned()),
                    name: name.map(str::to_owned),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Writes into the status of an archive that it is given to a claim. The volume must exist before: whoever deletes the
    /// object after this call has read it sees the volume, and waits. Fails if the object was changed again and again.
    pub async fn mark_restoring(
        &self,
        (namespace, name): (&str, &str),
        (key, place): (&str, &Directory),
        restore: &ArchiveRestoration,
    ) -> kube::Result<Marked> {
        let archives: Api<Archive> = Api::namespaced(self.client.clone(), namespace);
        let mut attempt = 0;
        loop {
            let Some(archive) = archives.get_opt(name).await? else {
                return Ok(Marked::Gone);
            };
            if archive.spec.key() != Some(key) {
                return Ok(Marked::Gone);
            }
            if archive.metadata.deletion_timestamp.is_some() {
                return Ok(Marked::Deleting);
            }
            let status = ArchiveStatus::of_restore(&archive, restore.clone(), false, Timestamp::now()).at(place);
            if archive.status.as_ref() == Some(&status) {
                return Ok(Marked::Done);
            }
            attempt += 1;
            match write_status(&archives, &archive, &status).await {
                Err(error) if is_not_found(&error) => return Ok(Marked::Gone),
                Err(error) if is_conflict(&error) && attempt < ATTEMPTS => {}
                written => return written.map(|()| Marked::Done),
            }
        }
    }

    /// Reads the objects with this key, in all namespaces.
    pub async fn archives_with_key(&self, key: &str) -> kube::Result<Vec<Archive>> {
        let archives: Api<Archive> = Api::all(self.client.clone());
        let with_label = ListParams::default().labels(&format!("{}={key}", names::ARCHIVE_KEY));
        let mut found = archives.list(&with_label).await?.items;
        found.retain(|archive| archive.spec.key() == Some(key));
        Ok(found)
    }

    /// Reads the volume that was given an archive, if there is one that records that.
    pub async fn volume_of_archive(&self, name: &str, key: &str) -> kube::Result<Option<Volume>> {
        let is_it = |volume: &Volume| match &volume.record {
            Ok(record) => record.restored.as_ref().is_some_and(|archive| {
                let maker = volume.maker.as_ref();
                maker.is_some_and(|maker| archive.key(&maker.instance) == Some(key))
            }),
            // What it says cannot be read, so the archive must not be touched.
            Err(_) => true,
        };
        Ok(self.volume(name).await?.filter(is_it))
    }
}

/// Reads the archives that a name may mean, with this client.
pub async fn archives_named(archives: &Api<Archive>, name: &str) -> kube::Result<Option<Vec<Archive>>> {
    let page = ListParams::default().limit(PAGE_SIZE);
    let first = match archives.list(&page).await {
        Err(error) if is_not_found(&error) => return Ok(None),
        first => first?,
    };
    let mut found = first.items;
    let Some(token) = first.metadata.continue_.filter(|token| !token.is_empty()) else {
        return Ok(Some(found));
    };
    // There are many. A label names the claim, if its name is short enough.
    let mut more = Vec::new();
    if is_label_value(name) {
        let of_claim = ListParams::default().labels(&format!("{}={name}", names::CLAIM));
        more = archives.list(&of_claim).await?.items;
    } else {
        let mut next = Some(token);
        while let Some(token) = next {
            let rest = archives.list(&page.clone().continue_token(&token)).await?;
            more.extend(rest.items);
            next = rest.metadata.continue_.filter(|token| !token.is_empty());
        }
    }
    if is_object_name(name) {
        more.extend(archives.get_opt(name).await?);
    }
    more.retain(|one| !found.iter().any(|other| other.uid() == one.uid()));
    found.append(&mut more);
    Ok(Some(found))
}

/// Writes the status of an archive, if the object has not changed.
pub async fn write_status(archives: &Api<Archive>, archive: &Archive, status: &ArchiveStatus) -> kube::Result<()> {
    let mut fields = json!({
        "metadata": {"uid": archive.uid(), "resourceVersion": archive.resource_version()},
        "status": status,
    });
    if status.expires_at.is_none() {
        fields["status"]["expiresAt"] = json!(null);
    }
    let name = archive.name_any();
    archives
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(fields))
        .await
        .map(drop)
}
