//! The reclaim policy of a class or a volume.

/// What Kubernetes does with a volume whose claim is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// It is deleted, and `onDelete` says what becomes of the directory.
    Delete,
    /// Volume and directory are kept.
    Retain,
}

impl Reclaim {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}
