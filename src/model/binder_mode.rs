//! The binding steps that Bindery does itself.

use clap::ValueEnum;

/// How much of the binding Bindery does instead of kube-controller-manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BinderMode {
    /// Nothing. kube-controller-manager does all of it, more slowly
    Off,
    /// Bindery writes the claim's uid into the volume as soon as the claim exists
    Uid,
    /// Also, Bindery sets the claim to `Bound` as soon as kube-controller-manager has set its volume to `Bound`
    Complete,
}
