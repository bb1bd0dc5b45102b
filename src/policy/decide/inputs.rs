//! Reads class, namespace and claim for a decision. All errors of the three objects are reported in one message.

use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;
use uuid::Uuid;

use super::existing::source_refusal;
use crate::model::candidate::Candidate;
use crate::model::choices::CsiDriver;
use crate::model::claim::Claim;
use crate::model::invalid::Invalid;
use crate::model::names::annotation::BETA_MOUNT_OPTIONS;
use crate::model::namespace::Namespace;
use crate::model::source::Source;
use crate::model::volume::{Installation, Volume};
use crate::policy::annotations::{AnnotatedObject, Annotations};
use crate::policy::class::{Class, Defaults, REPLACE_CLASS};
use crate::policy::effective::Policy;
use crate::policy::groups;
use crate::policy::key::Key;
use crate::policy::restore::RestoreFacts;

/// The input of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The claim, as the API server would store it.
    pub claim: &'a Claim,
    /// The class that the claim names, if it exists.
    pub class: Option<&'a StorageClass>,
    /// The claim's namespace.
    pub namespace: &'a Namespace,
    /// The volume that the claim names, if it exists. For a claim that names no volume: a volume that an earlier attempt
    /// created for it.
    pub volume: Option<&'a Volume>,
    /// The volumes to which Kubernetes can bind the claim, if the claim names no volume.
    pub candidates: &'a [Candidate],
    /// The CSI drivers that the class may need and that the cluster has.
    pub csi_drivers: &'a [CsiDriver],
    /// All classes, because two classes must not have a group in common.
    pub classes: &'a [Arc<StorageClass>],
    /// Server and export for classes that name none.
    pub defaults: &'a Defaults,
    /// This installation.
    pub installation: &'a Installation,
    /// The archives of the claim's namespace, if the claim names one.
    pub restore: Option<&'a RestoreFacts>,
    /// The UUID from which the volume's name and the suffix of a generated claim name are made: random in the webhook. For
    /// an existing claim it is the claim's uid, so that every attempt to provision that claim uses the same volume.
    pub seed: Uuid,
}

/// The valid settings of all three objects.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    /// The class.
    pub class: Class,
    /// The annotations of the namespace.
    pub namespace: Annotations,
    /// The annotations of the claim.
    pub claim: Annotations,
}

impl Inputs {
    /// Reads all three. `enabled` is the error of the namespace's annotation `bindery.dev/enabled`, if any. The
    /// returned error is the sentence that refuses the claim.
    pub fn read(facts: &Facts<'_>, class: &StorageClass, enabled: Option<Invalid>) -> Result<Self, String> {
        let claim = facts.claim;
        let class_name = claim.class.as_deref().unwrap_or_default();
        let mut errors = Vec::new();
        let unsupported = [
            claim.is_block.then_some("volumeMode Block"),
            (!claim.attributes_class.is_empty()).then_some("a volume attributes class"),
        ];
        let unsupported: Vec<_> = unsupported.into_iter().flatten().collect();
        if !unsupported.is_empty() {
            errors.push(format!(
                "StorageClass {class_name} cannot provide {}; change the claim or choose another class",
                unsupported.join(" and ")
            ));
        }
        errors.extend(source_refusal(&claim.data_source));
        if let Some(invalid) = groups::conflict(class, facts.classes) {
            errors.push(format!("StorageClass {class_name}: {invalid}; {REPLACE_CLASS}"));
        }
        let class = Class::read(class, facts.defaults);
        if let Err(invalid) = &class {
            errors.push(format!("StorageClass {class_name}: {invalid}; {}", invalid.remedy()));
        }
        // If the class is not valid, it is not known which keys it allows: then only unknown keys are reported.
        let lists = class.as_ref().map_or((&[][..], &[][..]), |class| {
            (&class.namespace_overrides[..], &class.claim_overrides[..])
        });
        let mut namespace = Annotations::read(AnnotatedObject::Namespace, &facts.namespace.annotations, lists.0);
        namespace.invalid.extend(enabled);
        let of_claim = Annotations::read(AnnotatedObject::Claim, &claim.annotations, lists.1);
        if !namespace.invalid.is_empty() {
            errors.push(format!(
                "namespace {}: {}; an administrator must correct it",
                claim.namespace,
                Invalid::join(&namespace.invalid)
            ));
        }
        if !of_claim.invalid.is_empty() {
            errors.push(format!("the claim: {}; correct it", Invalid::join(&of_claim.invalid)));
        }
        match class {
            Ok(class) if errors.is_empty() => Ok(Self {
                class,
                namespace,
                claim: of_claim,
            }),
            _ => Err(errors.join("; ")),
        }
    }

    /// The effective policy.
    pub fn resolve(&self) -> Policy {
        Policy::resolve(&self.claim.settings, &self.namespace.settings, &self.class.settings)
    }

    /// Warnings about settings that have no effect.
    pub fn warnings(&self, claim: &Claim, policy: &Policy) -> Vec<String> {
        let class = &self.class.name;
        let mut warnings: Vec<String> = self.namespace.warnings(class).collect();
        warnings.extend(self.claim.warnings(class));
        if claim.annotations.contains_key(BETA_MOUNT_OPTIONS) {
            warnings.push(format!(
                "{BETA_MOUNT_OPTIONS} on the claim is ignored: mount options are in the field mountOptions of \
                StorageClass {class}"
            ));
        }
        let adopts = match policy.ignored_adoption {
            Some(Source::Class) => Some(format!("{}: adopt of StorageClass {class}", Key::ExistingDirectory)),
            Some(Source::Namespace) => Some(format!(
                "{}: adopt on the namespace",
                Key::ExistingDirectory.annotation()
            )),
            Some(Source::Claim | Source::Default) | None => None,
        };
        warnings.extend(adopts.map(|adopts| {
            let template = &policy.template;
            let (setter, setters) = match template.source {
                Source::Claim => ("claim", "the claim"),
                _ => ("namespace", "the namespace or the claim"),
            };
            format!(
                "{adopts} is ignored for this claim: the {setter} chooses the directory ({}), so {setters} must set it too",
                template.key.annotation()
            )
        }));
        warnings
    }
}
