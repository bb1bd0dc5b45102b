//! The reclaim policy of a class or a volume.

use super::choices::choices;

choices! {
    /// What Kubernetes does with a volume when its claim is gone.
    Reclaim, allowed: "Delete and Retain", {
        /// It is deleted, and `onDelete` decides about the directory.
        Delete = "Delete",
        /// Volume and directory are kept.
        Retain = "Retain",
    }
}
