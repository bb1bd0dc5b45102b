//! The result of a decision about a claim.

use crate::model::volume::{NewVolume, Volume};
use crate::policy::class::Class;
use crate::policy::effective::Policy;

/// The result of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to the claim.
    pub decision: Decision,
    /// A volume that an earlier attempt created for this claim and that the decision does not use, for example because
    /// another webhook has changed the claim. It is deleted, and the claim must not name it.
    pub unused: Option<Box<Volume>>,
    /// Warnings for the user of the claim, such as ignored annotations.
    pub warnings: Vec<String>,
    /// The class and the settings on which the decision is based. `None` if the decision did not need them, or if they are
    /// not valid.
    pub based_on: Option<(Class, Policy)>,
}

/// What happens to the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Admit it unchanged.
    Pass(Pass),
    /// Refuse it with this sentence.
    Deny(String),
    /// Create this volume for it. If the volume of an earlier attempt can be used, the name is the name of that volume.
    Provision(Box<NewVolume>),
}

/// Why a claim is admitted unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It names no class.
    NoClass,
    /// The class does not exist, or has another provisioner.
    OtherClass,
    /// It names a volume that was not created for it.
    NamesVolume,
    /// Its namespace is annotated `bindery.dev/enabled: "false"`.
    NamespaceDisabled,
    /// The API server will refuse it.
    Malformed,
    /// Kubernetes binds it to this volume, whose `claimRef` names it.
    Reserved(String),
    /// Kubernetes binds it to this or another available volume that satisfies it.
    Available(String),
    /// It has a selector, so it waits for an existing volume.
    Selector,
    /// A volume populator provides its volume, from an object of this kind.
    Populator(String),
}

impl Pass {
    /// Whether the claim is of a class of Bindery, and another component of Kubernetes gives it its volume.
    pub fn is_left_to_kubernetes(&self) -> bool {
        matches!(
            self,
            Self::Reserved(_) | Self::Available(_) | Self::Selector | Self::Populator(_)
        )
    }
}
