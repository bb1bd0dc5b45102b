//! Mounts inside a tree are not removed. The other promises about trees are tested for every kind of storage.

use std::fs;

use bindery::storage::{Fault, Storage, StorageError, Tree};

use super::{directory, long_deadline, refusal, share, storage};
use crate::support::mount::Mount;

#[tokio::test]
async fn mounts_inside_a_tree_are_not_entered() {
    let mount = Mount::memory();
    let tree = mount.path().join("tree");
    let (kept, inner) = (mount.path().join("kept"), tree.join("a/inner"));
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    let message = "cannot remove directory tree with all in it on nas:/export: another file system is mounted in it at \
                   \"inner\", and is not removed. Unmount it.";
    let other_system = || Mount::memory_on(&inner, "mode=755");
    let part_of_the_same = || Mount::bind(&kept, &inner);
    for mounted in [&other_system as &dyn Fn() -> Mount, &part_of_the_same] {
        let _mounted = mounted();
        fs::write(inner.join("file"), "").unwrap();
        assert_eq!(remove(&mount).await, Err(refusal(Fault::OtherFileSystem, message)));
        assert!(inner.join("file").exists());
    }
    assert_eq!(remove(&mount).await, Ok(Tree::Gone));
    assert!(kept.join("file").exists());
}

async fn remove(mount: &Mount) -> Result<Tree, StorageError> {
    let storage = storage(mount.path());
    storage.remove_tree(&share(), &directory("tree"), long_deadline()).await
}
