//! The reclaim policy of a class or a volume.

/// What Kubernetes does with a volume when its claim is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// It is deleted, and `onDelete` decides about the directory.
    Delete,
    /// Volume and directory are kept.
    Retain,
}

impl Reclaim {
    /// The value in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}
