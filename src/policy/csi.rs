//! Class parameters for volumes that a CSI driver mounts: `csiAttribute/<name>`, and the Secrets of the driver.
//!
//! Only a class may set them: they choose what a node mounts, and with whose key.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::StorageClass;

use super::key::{CSI_ATTRIBUTE as ATTRIBUTE, Key};
use crate::model::choices::{CsiDriver, SourceKind};
use crate::model::directory::{Directory, Share};
use crate::model::invalid::Invalid;
use crate::model::names::{self, is_object_name};
use crate::model::volume_source::{CsiSource, SecretReference, VolumeSource};

/// The attributes that cephfs.csi.ceph.com needs from the class.
const CEPHFS_NEEDS: [&str; 2] = ["clusterID", "fsName"];

/// The CSI parameters of a class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiSettings {
    attributes: BTreeMap<String, String>,
    node_stage_secret: Option<SecretTemplate>,
    node_publish_secret: Option<SecretTemplate>,
}

/// The namespace and the name of a Secret, with tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SecretTemplate {
    namespace: String,
    name: String,
}

/// The values of the tokens.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The share of the directory.
    pub share: &'a Share,
    /// The directory.
    pub directory: &'a Directory,
    /// The name of the volume.
    pub volume: &'a str,
    /// The namespace of the claim.
    pub namespace: &'a str,
    /// The name of the claim.
    pub claim: &'a str,
}

impl CsiSettings {
    /// Reads the parameters: each key, its name in the class, and its value. Adds errors to `invalid`.
    pub fn read(written: &[(Key, &str, &str)], invalid: &mut Vec<Invalid>) -> Self {
        let mut attributes = BTreeMap::new();
        for (_, name, value) in written.iter().filter(|(key, ..)| *key == Key::CsiAttribute) {
            let attribute = name.strip_prefix(ATTRIBUTE).unwrap_or_default();
            if attribute.is_empty() || attribute.starts_with(names::PREFIX) {
                invalid.push(Invalid(format!(
                    "{name}: write the name of an attribute after {ATTRIBUTE}; names that begin with {} are of Bindery",
                    names::PREFIX
                )));
            } else if attributes
                .keys()
                .any(|known: &String| known.eq_ignore_ascii_case(attribute))
            {
                invalid.push(Invalid(format!(
                    "{name} is set twice, with different case, and csi-driver-nfs ignores case; remove one"
                )));
            } else if let Err(error) = expand(value, &ATTRIBUTE_TOKENS.map(|token| (token, ""))) {
                invalid.push(Invalid::value(name, value, &error));
            } else {
                attributes.insert(attribute.to_owned(), (*value).to_owned());
            }
        }
        let mut secret = |namespace: Key, name: Key| {
            let get = |key: Key| {
                let found = written.iter().find(|(written, ..)| *written == key);
                found.map(|(_, _, value)| (*value).to_owned())
            };
            match (get(namespace), get(name)) {
                (Some(namespace), Some(name)) => Some(SecretTemplate { namespace, name }),
                (None, None) => None,
                (Some(_), None) => {
                    invalid.push(Invalid(format!("{namespace} is set without {name}; set both")));
                    None
                }
                (None, Some(_)) => {
                    invalid.push(Invalid(format!("{name} is set without {namespace}; set both")));
                    None
                }
            }
        };
        let node_stage_secret = secret(Key::NodeStageSecretNamespace, Key::NodeStageSecretName);
        let node_publish_secret = secret(Key::NodePublishSecretNamespace, Key::NodePublishSecretName);
        for (key, secret) in [
            (Key::NodeStageSecretName, &node_stage_secret),
            (Key::NodePublishSecretName, &node_publish_secret),
        ] {
            let wrong = secret
                .as_ref()
                .and_then(|secret| secret.expand(&SECRET_TOKENS.map(|token| (token, "a"))).err());
            invalid.extend(wrong.map(|error| Invalid(format!("{key}: {error}"))));
        }
        Self {
            attributes,
            node_stage_secret,
            node_publish_secret,
        }
    }

    /// What is missing for volumes of this driver.
    pub fn missing(&self, driver: CsiDriver) -> Option<Invalid> {
        if driver != CsiDriver::CephFs {
            return None;
        }
        let attributes = CEPHFS_NEEDS.into_iter().filter(|name| !self.has(driver, name));
        let mut missing: Vec<String> = attributes.map(|name| format!("{ATTRIBUTE}{name}")).collect();
        if self.node_stage_secret.is_none() {
            let keys = [Key::NodeStageSecretName, Key::NodeStageSecretNamespace];
            missing.extend(keys.map(|key| key.to_string()));
        }
        (!missing.is_empty()).then(|| Invalid(format!("{driver} also needs {}", missing.join(", "))))
    }

    /// The source of a volume. The error is the reason why there is none for this claim.
    pub fn source(&self, driver: CsiDriver, values: Values<'_>) -> Result<VolumeSource, String> {
        let (share, directory) = (values.share, values.directory);
        let tokens = [share.server(), share.path(), directory.as_str()];
        let tokens: Vec<_> = ATTRIBUTE_TOKENS.into_iter().zip(tokens).collect();
        let mut attributes = BTreeMap::new();
        let defaults: &[(&str, &str)] = match driver {
            CsiDriver::Nfs => &[
                ("server", "${server}"),
                ("share", "${share}"),
                ("subdir", "${directory}"),
            ],
            CsiDriver::CephFs => &[("staticVolume", "true"), ("rootPath", "${share}/${directory}")],
        };
        let defaults = defaults.iter().filter(|(name, _)| !self.has(driver, name));
        let written = self
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in defaults.copied().chain(written) {
            let value = expand(value, &tokens)?;
            let value = match name {
                "rootPath" => value.replace("//", "/"),
                _ => value,
            };
            attributes.insert(name.to_owned(), value);
        }
        let tokens = [values.volume, values.namespace, values.claim];
        let tokens: Vec<_> = SECRET_TOKENS.into_iter().zip(tokens).collect();
        let secret = |secret: &Option<SecretTemplate>| secret.as_ref().map(|secret| secret.expand(&tokens)).transpose();
        Ok(VolumeSource::Csi(Box::new(CsiSource {
            driver: driver.to_string(),
            attributes,
            node_stage_secret: secret(&self.node_stage_secret)?,
            node_publish_secret: secret(&self.node_publish_secret)?,
        })))
    }

    /// Whether an attribute is set. csi-driver-nfs ignores the case of names.
    fn has(&self, driver: CsiDriver, attribute: &str) -> bool {
        self.attributes.keys().any(|name| match driver {
            CsiDriver::Nfs => name.eq_ignore_ascii_case(attribute),
            CsiDriver::CephFs => name == attribute,
        })
    }
}

impl SecretTemplate {
    fn expand(&self, tokens: &[(&str, &str)]) -> Result<SecretReference, String> {
        let part = |text: &str| {
            let expanded = expand(text, tokens)?;
            if is_object_name(&expanded) {
                Ok(expanded)
            } else {
                Err(format!("{expanded:?} is no valid name of an object"))
            }
        };
        Ok(SecretReference {
            namespace: part(&self.namespace)?,
            name: part(&self.name)?,
        })
    }
}

/// The drivers that volumes of a class may need: those that the API server is asked about.
pub fn drivers(class: &StorageClass) -> &'static [CsiDriver] {
    let parameter = |key: Key| class.parameters.as_ref()?.get(key.as_str()).map(String::as_str);
    let lists = [Key::NamespaceOverrides, Key::ClaimOverrides].map(parameter);
    let lists = lists.into_iter().flatten();
    let listed: Vec<&str> = lists.flat_map(|list| list.split(',').map(str::trim)).collect();
    let overridable = |key: Key| listed.contains(&key.as_str());
    let is_csi = parameter(Key::VolumeSource) == Some(SourceKind::Csi.as_str());
    let [driver, source] = [Key::CsiDriver, Key::VolumeSource].map(overridable);
    if !is_csi && !source {
        return &[];
    }
    let named = parameter(Key::CsiDriver).unwrap_or(CsiDriver::Nfs.as_str());
    match CsiDriver::ALL.iter().position(|known| known.as_str() == named) {
        Some(at) if !driver => &CsiDriver::ALL[at..=at],
        _ => &CsiDriver::ALL,
    }
}

/// The sentence that refuses a claim whose driver is not installed in the cluster.
pub fn not_installed(driver: CsiDriver, installed: &[CsiDriver]) -> Option<String> {
    if installed.contains(&driver) {
        return None;
    }
    let project = match driver {
        CsiDriver::Nfs => "csi-driver-nfs",
        CsiDriver::CephFs => "ceph-csi with its driver for CephFS",
    };
    Some(format!(
        "the cluster has no CSIDriver {driver}, so no node can mount the volume; an administrator must install {project}"
    ))
}

const ATTRIBUTE_TOKENS: [&str; 3] = ["server", "share", "directory"];
/// The tokens that CSI's external-provisioner also knows.
const SECRET_TOKENS: [&str; 3] = ["pv.name", "pvc.namespace", "pvc.name"];

/// Replaces each `${token}`. The error says that a token is not known, or not closed.
fn expand(text: &str, tokens: &[(&str, &str)]) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (token, after) = after.split_once('}').ok_or("a token ends without }")?;
        let value = tokens
            .iter()
            .find(|(known, _)| *known == token)
            .map(|(_, value)| *value);
        let allowed = || {
            let known: Vec<String> = tokens.iter().map(|(known, _)| format!("${{{known}}}")).collect();
            format!("the token ${{{token}}} is not known; allowed are {}", known.join(", "))
        };
        expanded.push_str(before);
        expanded.push_str(value.ok_or_else(allowed)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
