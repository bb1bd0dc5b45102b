//! Reads what the decision about a claim that names an archive needs.

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::ResourceExt;

use super::Provisioner;
use crate::model::archive::restored_volume;
use crate::model::claim::Claim;
use crate::model::data_source::DataSource;
use crate::model::namespace::Namespace;
use crate::policy::restore::{RestoreFacts, User, meant};

impl Provisioner {
    /// Reads the archives of the claim's namespace, and what the user may read. Returns nothing if the claim names no archive.
    /// A claim that exists has no user: nothing is known about who created it. The API server has checked the right to get an
    /// archive of the name that the claim gives (policy `bindery-restores`).
    pub async fn restore_facts(
        &self,
        claim: &Claim,
        namespace: &Namespace,
        user: Option<&UserInfo>,
    ) -> kube::Result<Option<RestoreFacts>> {
        let DataSource::Archive(name) = &claim.data_source else {
            return Ok(None);
        };
        let may = async |verb: &str, name: Option<&str>| match user {
            Some(user) => self.cluster.may(user, verb, &claim.namespace, name).await,
            None => Ok(true),
        };
        let (archives, may_get, may_list) = tokio::try_join!(
            self.cluster.archives_named(&claim.namespace, name),
            may("get", Some(name)),
            may("list", None),
        )?;
        let of = (claim.namespace.as_str(), namespace.uid.as_deref());
        let found = archives.as_deref().unwrap_or_default();
        let meant = meant(name, of, &self.own_namespace, &self.installation, found);
        let other = meant.map(ResourceExt::name_any).filter(|other| other != name);
        let may_get_other = async {
            match &other {
                // The API server has checked the name that the claim gives, if this call cannot.
                Some(other) => Ok(may_get && may("get", Some(other)).await?),
                None => Ok(may_get),
            }
        };
        let of_key = async {
            let Some(key) = meant.and_then(|archive| archive.spec.key()) else {
                return Ok((None, Vec::new()));
            };
            let volume = restored_volume(key);
            tokio::try_join!(self.cluster.volume(&volume), self.cluster.archives_with_key(key))
        };
        let (may_get, (volume, same)) = tokio::try_join!(may_get_other, of_key)?;
        Ok(Some(RestoreFacts {
            volume,
            same,
            user: user.map(|user| User {
                name: user.username.clone().unwrap_or_default(),
                may_get,
                may_list,
            }),
            own_namespace: self.own_namespace.clone(),
            now: Timestamp::now(),
            archives,
        }))
    }
}
