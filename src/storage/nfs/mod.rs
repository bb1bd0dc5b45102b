//! stub
/// s
pub struct NfsStorage;
impl NfsStorage {
    /// n
    pub fn new(_u: (u32, u32)) -> Self {
        Self
    }
}
#[async_trait::async_trait]
impl super::Storage for NfsStorage {
    async fn look_up(
        &self,
        _s: &super::Share,
        _d: &super::Directory,
        _t: super::Instant,
    ) -> Result<Option<super::Found>, super::StorageError> {
        unimplemented!()
    }
    async fn make(
        &self,
        _s: &super::Share,
        _d: &super::Directory,
        _a: super::Attributes,
        _e: super::Existing,
        _t: super::Instant,
    ) -> Result<super::Made, super::StorageError> {
        unimplemented!()
    }
    async fn rename(
        &self,
        _s: &super::Share,
        _d: &super::Directory,
        _i: super::Identity,
        _to: &super::Directory,
        _t: super::Instant,
    ) -> Result<super::Moved, super::StorageError> {
        unimplemented!()
    }
    async fn remove_empty(
        &self,
        _s: &super::Share,
        _d: &super::Directory,
        _i: super::Identity,
        _t: super::Instant,
    ) -> Result<super::Removed, super::StorageError> {
        unimplemented!()
    }
    async fn remove_tree(
        &self,
        _s: &super::Share,
        _d: &super::Directory,
        _t: super::Instant,
    ) -> Result<super::Tree, super::StorageError> {
        unimplemented!()
    }
    async fn list(
        &self,
        _s: &super::Share,
        _d: Option<&super::Directory>,
        _t: super::Instant,
    ) -> Result<Vec<String>, super::StorageError> {
        unimplemented!()
    }
}
