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
struct Side {
    bindery: Bindery,
    /// The directory of a volume in use.
    live: PathBuf,
    /// An archive that never expires.
    kept: PathBuf,
    /// An expired archive, and an entry in the trash.
    over: [PathBuf; 2],
}

impl Side {
    async fn start(server: &Ganesha) -> Self {
        let export = server.export_dir();
        let nfs_server = format!("--nfs-server={}", server.address());
        let mut bindery = Bindery::start(&[&nfs_server, "--retention-interval=200ms"]).await;
        let parameters = json!({"subDir": "shared/${pvc.metadata.namespace}/${pvc.metadata.name}"});
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        let (_, live) = scene.bound(scene.claim("live")).await;
        let (_, archived) = scene.bound(scene.claim("archived")).await;
        let [live, path] = [&live, &archived].map(|volume| export.join(annotation(volume, "sub-dir").unwrap()));
        fill(&live);
        fill(&path);
        scene.delete("archived").await;
        scene.until_gone(&archived).await;
        let kept = only(&export, &scene.name);
        // The expired entries are created while Bindery does not run. It finds them at its next start.
        bindery.kill();
        let tag = Directory::archive_tag(&bindery.name, "pvc-gone");
        let (directory, now) = (Directory::parse("data").unwrap(), Timestamp::now());
        let expired = directory.archive(now, &tag, None, Some(now));
        let over =
            [expired, Directory::in_trash_without_uid(&bindery.name, "pvc-gone")].map(|own| export.join(own.as_str()));
        for path in &over {
            fill(path);
        }
        Self {
            bindery,
            live,
            kept,
            over,
        }
    }

    fn has_lasting(&self) -> bool {
        [&self.live, &self.kept].iter().all(|path| whole(path))
    }

    async fn until_tidy(&self) {
        let tidy = async || self.over.iter().all(|path| !path.exists()).then_some(());
        eventually("Bindery has removed the expired entry", tidy).await;
        // Two more entries are created one after the other. When the second is gone, a complete round is over.
        for _ in 0..2 {
            fill(&self.over[1]);
            eventually("Bindery has completed a round", tidy).await;
        }
    }
}

fn fill(directory: &Path) {
    std::fs::create_dir_all(directory.join("a")).unwrap();
    std::fs::write(directory.join("a/precious"), "data").unwrap();
}

fn whole(directory: &Path) -> bool {
    directory.join("a/precious").exists()
}

/// Returns the only archive of a namespace.
fn only(export: &Path, namespace: &str) -> PathBuf {
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
    let mut one = Side::start(&server).await;
    let mut other = Side::start(&server).await;

    one.bindery.run().await;
    one.until_tidy().await;
    assert!(
        other.over.iter().all(|path| whole(path)),
        "the other's archive or trash is gone"
    );

    other.bindery.run().await;
    other.until_tidy().await;
    assert!(one.has_lasting() && other.has_lasting());
    for side in [one, other] {
        side.bindery.unregister().await;
    }
}
