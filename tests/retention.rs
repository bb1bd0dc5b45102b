//! Archives are removed when they have expired. Archives of other installations are never removed.

use std::path::Path;

use bindery::model::directory::Directory;
use jiff::Timestamp;
use serde_json::json;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, directory};
use crate::support::wait::eventually;

/// Returns the names of the archives of a scene.
fn archives(scene: &Scene) -> Vec<String> {
    let names = scene.own_directories().into_iter();
    names.filter(|name| name.starts_with("archived-")).collect()
}

#[tokio::test]
async fn an_archive_is_removed_at_the_time_in_its_name() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let parameters = json!({"archiveRetention": "2s", "claimOverrides": "archiveRetention"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    let kept = json!({"metadata": {"annotations": {"bindery.dev/archive-retention": "30d"}}});
    for claim in [scene.claim("brief"), scene.claim_with("kept", kept)] {
        let name = claim["metadata"]["name"].as_str().unwrap().to_owned();
        let (_, volume) = scene.bound(claim).await;
        std::fs::create_dir_all(directory(&volume).join("a/b")).unwrap();
        std::fs::write(directory(&volume).join("a/b/file"), "x").unwrap();
        scene.delete(&name).await;
        scene.until_gone(&volume).await;
    }
    let left = eventually("one archive is gone and the other is not", async || {
        let left = archives(&scene);
        (left.len() == 1).then_some(left)
    })
    .await;
    assert!(left[0].contains("-kept-") && left[0].contains("-until-"), "{left:?}");
    assert!(Bed::get().export.join(&left[0]).join("a/b/file").exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn leftovers_in_the_trash_are_removed_and_entries_of_others_are_kept() {
    let mut bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    let trash = Bed::get().export.join(".bindery-trash");
    let make = |path: &Path| std::fs::create_dir_all(path.join("deep/er")).unwrap();
    let ours = trash.join(format!("{}.pvc-gone", bindery.name));
    let others = [
        trash.join(format!("{}-2.pvc-gone", bindery.name)),
        trash.join(format!("other-{}.pvc-gone", bindery.name)),
        Bed::get()
            .export
            .join(format!("archived-{}-until-20200101T000000Z", scene.name)),
    ];
    make(&ours);
    for other in &others {
        make(other);
    }
    bindery.run().await;
    eventually("the entry of this installation is gone", async || {
        (!ours.exists()).then_some(())
    })
    .await;
    for other in &others {
        assert!(other.join("deep/er").is_dir(), "{other:?}");
        std::fs::remove_dir_all(other).unwrap();
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_cannot_be_removed_does_not_block_the_others() {
    let mut bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    let over = Timestamp::UNIX_EPOCH;
    let archive = |volume: &str| {
        let tag = Directory::archive_tag(&bindery.name, volume);
        let archive = Directory::parse(&scene.name)
            .unwrap()
            .archive(over, &tag, None, Some(over));
        Bed::get().export.join(archive.as_str())
    };
    // These files have names of archives and cannot be removed as trees. There are so many of them that the server lists
    // some before the directory.
    let files: Vec<_> = (0..8).map(|number| archive(&format!("file-{number}"))).collect();
    for file in &files {
        std::fs::write(file, "").unwrap();
    }
    let directory = archive("directory");
    std::fs::create_dir(&directory).unwrap();
    bindery.run().await;
    eventually("the directory is gone", async || (!directory.exists()).then_some(())).await;
    bindery.unregister().await;
    for file in &files {
        std::fs::remove_file(file).unwrap();
    }
}
