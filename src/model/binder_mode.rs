//! How much of binding Bindery does itself.

use clap::ValueEnum;

/// How much of binding Bindery does, so that the controller manager need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BinderMode {
    /// Nothing: the controller manager does all of it, slowly.
    Off,
    /// The claim's uid is written into its volume as soon as it appears.
    Uid,
    /// And the claim is completed as soon as the controller manager has marked its volume `Bound`.
    Complete,
}
