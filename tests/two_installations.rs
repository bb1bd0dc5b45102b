//! Two installations on one export, as two clusters would have. Neither changes the data of the other.

use std::path::{Path, PathBuf};

use bindery::model::directory::Directory;
use jiff::Timestamp;
use serde_json::json;

use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation};
use crate::support::wait::eventually;

/// One of the two installations, with all kinds of data that it can have.
struct OneInstallation {
    bindery: Bindery,
    /// The directory of a volume in use.
    in_use: PathBuf,
    /// An archive that never expires.
    archive: PathBuf,
    /// An expired archive, and an entry in the trash.
    expired: [PathBuf; 2],
}

impl OneInstallation {
    async fn start(server: &Ganesha) -> Self {
        let export = server.export_dir();
        let nfs_server = format!("--nfs-server={}", server.address());
        let mut bindery = Bindery::start(&[&nfs_server, "--retention-interval=200ms"]).await;
        let parameters = json!({"subDir": "shared/${pvc.metadata.namespace}/${pvc.metadata.name}"});
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        let (_, in_use) = scene.bound(scene.claim("in-use")).await;
        let (_, archived) = scene.bound(scene.claim("archived")).await;
        let [in_use, path] = [&in_use, &archived].map(|volume| export.join(annotation(volume, "sub-dir").unwrap()));
        fill(&in_use);
        fill(&path);
        scene.delete("archived").await;
        scene.until_gone(&archived).await;
        let archive = only_archive(&export, &scene.name);
        // The expired entries are created while Bindery does not run. It finds them at its next start.
        bindery.kill();
        let tag = Directory::archive_tag(&bindery.name, "pvc-gone");
        let (directory, now) = (Directory::parse("data").unwrap(), Timestamp::now());
        let expired = directory.archive(now, &tag, None, Some(now));
        let expired =
            [expired, Directory::in_trash_without_uid(&bindery.name, "pvc-gone")].map(|own| export.join(own.as_str()));
        for path in &expired {
            fill(path);
        }
        Self {
            bindery,
            in_use,
            archive,
            expired,
        }
    }

    fn has_data_to_keep(&self) -> bool {
        [&self.in_use, &self.archive].iter().all(|path| is_complete(path))
    }

    async fn until_expired_data_is_removed(&self) {
        let are_gone = async || self.expired.iter().all(|path| !path.exists()).then_some(());
        eventually("Bindery has removed the expired entry", are_gone).await;
        // Two more entries are created one after the other. When the second is gone, a complete round is over.
        for _ in 0..2 {
            fill(&self.expired[1]);
            eventually("Bindery has completed a round", are_gone).await;
        }
    }
}

fn fill(directory: &Path) {
    std::fs::create_dir_all(directory.join("a")).unwrap();
    std::fs::write(directory.join("a/precious"), "data").unwrap();
}

fn is_complete(directory: &Path) -> bool {
    directory.join("a/precious").exists()
}

/// Returns the only archive of a namespace.
fn only_archive(export: &Path, namespace: &str) -> PathBuf {
    let entries = std::fs::read_dir(export).unwrap().map(|entry| entry.unwrap().path());
    let starts = format!("archived-shared-{namespace}-archived-");
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&starts);
    let archives: Vec<PathBuf> = entries.filter(named).collect();
    let [archive] = archives.as_slice() else {
        panic!("{archives:?}")
    };
    archive.clone()
}

#[tokio::test]
async fn two_installations_on_one_export_never_touch_each_others_data() {
    let server = Ganesha::start();
    let mut one = OneInstallation::start(&server).await;
    let mut other = OneInstallation::start(&server).await;

    one.bindery.run().await;
    one.until_expired_data_is_removed().await;
    assert!(
        other.expired.iter().all(|path| is_complete(path)),
        "the other's archive or trash is gone"
    );

    other.bindery.run().await;
    other.until_expired_data_is_removed().await;
    assert!(one.has_data_to_keep() && other.has_data_to_keep());
    for side in [one, other] {
        side.bindery.unregister().await;
    }
}
