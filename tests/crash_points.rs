//! Bindery dies at each crash point, between two effects, and is started again. The result is the same as without the
//! crash.
//!
//! While no webhook answers, the claim is admitted without a volume (`failurePolicy: Ignore`) and provisioned later.

use bindery::failpoints::Point;
use bindery::model::archive::{Archive, ArchivePhase};
use clap::ValueEnum;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::expansion::{request_size, until_size};
use crate::support::archives::{phase, place};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

/// More files than Bindery removes in one call.
const FILES: usize = 100;

#[tokio::test]
async fn on_delete_delete_completes_after_a_crash_at_every_point() {
    at_every_point("delete").await;
}

#[tokio::test]
async fn on_delete_archive_completes_after_a_crash_at_every_point() {
    at_every_point("archive").await;
}

#[tokio::test]
async fn on_delete_retain_completes_after_a_crash_at_every_point() {
    at_every_point("retain").await;
}

/// When Bindery reaches a crash point.
enum When {
    /// When a claim is created.
    Created,
    /// When a claim exists that was created while no webhook answered.
    CaughtUp,
    /// When a claim is created, unless kube-controller-manager completes the claim first.
    CreatedPerhaps,
    /// When the requested size of the claim is raised.
    Expanded,
    /// When the claim is deleted.
    Deleted,
    /// When the object of an archive is deleted.
    ArchiveDeleted,
    /// When the namespace of an archive is deleted.
    NamespaceDeleted,
    /// When the time until which an archive is kept is changed.
    ExpiryChanged,
    /// When the directory of an archive has been missing for a day.
    GivenUp,
    /// When a claim is refused after its volume was created.
    Refused,
    /// Never under this policy.
    Never,
}

fn when(point: Point, on_delete: &str) -> When {
    match point {
        Point::VolumeCreated | Point::DirectoryMade | Point::AnswerSent | Point::UidSet => When::Created,
        Point::VolumeAssigned => When::CaughtUp,
        Point::ClaimCompleted => When::CreatedPerhaps,
        Point::VolumeExpanded => When::Expanded,
        Point::MarkedDeleted | Point::DirectoryDone | Point::FinalizerRemoved => When::Deleted,
        Point::ArchiveMade
        | Point::ArchiveRecorded
        | Point::ArchiveInTrash
        | Point::ArchiveCopied
        | Point::ArchiveReleased
        | Point::ArchiveRenamed
            if on_delete != "archive" =>
        {
            When::Never
        }
        Point::ArchiveMade | Point::ArchiveRecorded => When::Deleted,
        Point::ArchiveInTrash => When::ArchiveDeleted,
        Point::ArchiveCopied => When::NamespaceDeleted,
        Point::ArchiveReleased => When::GivenUp,
        Point::ArchiveRenamed => When::ExpiryChanged,
        Point::TargetRecorded | Point::Renamed if on_delete == "retain" => When::Never,
        Point::TargetRecorded | Point::Renamed => When::Deleted,
        Point::TreeHalfRemoved if on_delete == "delete" => When::Deleted,
        Point::TreeHalfRemoved => When::Never,
        Point::RestoreMarked | Point::RestoreMoved | Point::RestoreUndone => When::Never,
        Point::Fenced => When::Refused,
    }
}

struct Trial {
    bindery: Bindery,
    scene: Scene,
    on_delete: &'static str,
}

async fn at_every_point(on_delete: &'static str) {
    let bindery = Bindery::start(&["--orphan-grace=8s", "--retention-interval=1s"]).await;
    let parameters =
        json!({"onDelete": on_delete, "subDir": "${pvc.metadata.annotations['at']}", "existingDirectory": "deny"});
    let scene = Scene::of_with(
        &bindery.provisioner,
        json!({"allowVolumeExpansion": true, "parameters": parameters}),
    )
    .await;
    let mut trial = Trial {
        bindery,
        scene,
        on_delete,
    };
    for &point in Point::value_variants() {
        match when(point, on_delete) {
            When::Created => trial.created(point).await,
            When::CreatedPerhaps => trial.created_perhaps(point).await,
            When::CaughtUp => trial.caught_up(point).await,
            When::Expanded => trial.expanded(point).await,
            When::Deleted => trial.deleted(point).await,
            When::ArchiveDeleted => trial.archive_deleted(point).await,
            When::NamespaceDeleted => trial.namespace_deleted(point).await,
            When::ExpiryChanged => trial.expiry_changed(point).await,
            When::GivenUp => trial.given_up(point).await,
            When::Refused => trial.refused(point).await,
            When::Never => {}
        }
        println!("{point}: as if it had not died");
    }
    trial.bindery.unregister().await;
}

impl Trial {
    fn claim(&self, name: &str) -> Value {
        let at = format!("{}-{name}", self.scene.name);
        self.scene
            .claim_with(name, json!({"metadata": {"annotations": {"at": at}}}))
    }

    async fn created(&mut self, point: Point) {
        let name = point.to_string();
        self.bindery.kill();
        self.bindery.run_until_crash(point).await;
        self.scene.create(self.claim(&name)).await.unwrap();
        self.bindery.until_exit().await;
        self.bindery.run().await;
        let (_, volume) = self.scene.until_bound(&name).await;
        self.use_and_delete(&name, &volume).await;
        self.assert_all_done(&volume).await;
    }

    async fn created_perhaps(&mut self, point: Point) {
        let name = point.to_string();
        self.bindery.kill();
        self.bindery.run_until_crash(point).await;
        self.scene.create(self.claim(&name)).await.unwrap();
        // Bindery or the controller manager completes the binding.
        let (_, volume) = self.scene.until_bound(&name).await;
        self.bindery.kill();
        self.bindery.run().await;
        self.use_and_delete(&name, &volume).await;
        self.assert_all_done(&volume).await;
    }

    async fn caught_up(&mut self, point: Point) {
        let name = point.to_string();
        self.bindery.kill();
        self.scene.create(self.claim(&name)).await.unwrap();
        self.bindery.run_until_crash(point).await;
        self.bindery.until_exit().await;
        self.bindery.run().await;
        let (_, volume) = self.scene.until_bound(&name).await;
        self.use_and_delete(&name, &volume).await;
        self.assert_all_done(&volume).await;
    }

    async fn expanded(&mut self, point: Point) {
        let name = point.to_string();
        let (_, volume) = self.scene.bound(self.claim(&name)).await;
        self.bindery.kill();
        self.bindery.run_until_crash(point).await;
        request_size(&self.scene, &name, "2Gi").await.unwrap();
        self.bindery.until_exit().await;
        self.bindery.run().await;
        until_size(&self.scene, &name, "2Gi").await;
        self.use_and_delete(&name, &volume).await;
        self.assert_all_done(&volume).await;
    }

    async fn deleted(&mut self, point: Point) {
        let name = point.to_string();
        let (_, volume) = self.scene.bound(self.claim(&name)).await;
        self.bindery.kill();
        self.bindery.run_until_crash(point).await;
        self.use_and_delete(&name, &volume).await;
        self.bindery.until_exit().await;
        self.bindery.run().await;
        self.assert_all_done(&volume).await;
    }

    /// Creates an archive of a claim, kills Bindery, and starts it with the crash point.
    async fn archived(&mut self, point: Point, namespace: Option<&str>) -> Archive {
        let name = point.to_string();
        let mut claim = self.claim(&name);
        if let Some(namespace) = namespace {
            claim["metadata"]["namespace"] = json!(namespace);
        }
        let namespace = namespace.unwrap_or(&self.scene.name);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.scene.client.clone(), namespace);
        claims.create(&PostParams::default(), &from(claim)).await.unwrap();
        let volume = eventually("the claim is bound", async || {
            let claim = claims.get(&name).await.unwrap();
            let is_bound = claim.status?.phase? == "Bound";
            let volume = self.scene.volumes().get(&claim.spec?.volume_name?).await.ok()?;
            (is_bound && annotation(&volume, "ready") == Some("true")).then_some(volume)
        })
        .await;
        std::fs::write(directory(&volume).join("precious"), &name).unwrap();
        claims.delete(&name, &DeleteParams::default()).await.unwrap();
        self.scene.until_gone(&volume).await;
        let archive = self.scene.until_archived(&name).await;
        self.bindery.kill();
        self.bindery.run_until_crash(point).await;
        archive
    }

    async fn archive_deleted(&mut self, point: Point) {
        let archive = self.archived(point, None).await;
        self.scene.delete_archive(&archive).await;
        self.bindery.until_exit().await;
        assert_eq!(
            self.scene
                .own_archives()
                .await
                .iter()
                .filter(|one| one.spec == archive.spec)
                .count(),
            1
        );
        self.bindery.run().await;
        self.scene.until_archive_gone(&archive).await;
        let trash = Bed::get().export.join(".bindery-trash");
        eventually("nothing of the archive is on the share", async || {
            let (left, path) = (std::fs::read_dir(&trash).unwrap(), place(&archive));
            let is_it = |name: String| name.contains(&path);
            let mut names = left
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned());
            (!names.any(is_it) && !Bed::get().export.join(&path).exists()).then_some(())
        })
        .await;
    }

    async fn namespace_deleted(&mut self, point: Point) {
        let namespace = format!("{}-b", self.scene.name);
        self.scene.namespace(&namespace, json!({})).await;
        let archive = self.archived(point, Some(&namespace)).await;
        self.scene.keep_until(&archive, "forever").await;
        let namespaces: Api<Namespace> = Api::all(self.scene.client.clone());
        namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
        self.bindery.until_exit().await;
        self.bindery.run().await;
        let moved = self
            .scene
            .until_archive("only the copy is left", |one| one.spec == archive.spec)
            .await;
        assert_eq!(moved.metadata.namespace.as_deref(), Some("bindery"));
        assert_eq!(moved.keep_until(), Some("forever"));
        assert!(Bed::get().export.join(place(&archive)).join("precious").exists());
    }

    async fn expiry_changed(&mut self, point: Point) {
        let archive = self.archived(point, None).await;
        self.scene.keep_until(&archive, "2999-12-31").await;
        self.bindery.until_exit().await;
        self.bindery.run().await;
        let renamed = format!("{}-until-29991231T235959Z", place(&archive));
        self.scene
            .until_archive("the status has the new name", |one| place(one) == renamed)
            .await;
        assert!(Bed::get().export.join(&renamed).join("precious").exists());
    }

    /// Bindery deletes the object of a directory that is missing, and dies. Then the directory is back.
    async fn given_up(&mut self, point: Point) {
        let archive = self.archived(point, None).await;
        let path = Bed::get().export.join(place(&archive));
        let aside = Bed::get().export.join(format!("aside-{}", self.scene.name));
        std::fs::rename(&path, &aside).unwrap();
        self.scene.until_missing_for_a_day(&archive).await;
        self.bindery.until_exit().await;
        std::fs::rename(&aside, &path).unwrap();
        self.bindery.run().await;
        self.scene
            .until_archive("the archive has one object, which is not being deleted", |one| {
                one.spec.key() == archive.spec.key()
                    && phase(one) == Some(ArchivePhase::Available)
                    && one.metadata.finalizers.is_some()
                    && one.metadata.deletion_timestamp.is_none()
            })
            .await;
        assert!(path.join("precious").exists());
    }

    /// The share is read-only: Bindery deletes the volume again.
    async fn refused(&mut self, point: Point) {
        let name = point.to_string();
        let class = format!("{}-read-only", self.scene.name);
        let parameters = json!({"share": "/readonly", "onDelete": self.on_delete});
        self.scene.class(&class, json!({"parameters": parameters})).await;
        self.bindery.kill();
        self.bindery.run_until_crash(point).await;
        let claim = self
            .scene
            .claim_with(&name, json!({"spec": {"storageClassName": class}}));
        // The answer may have been sent before the crash.
        let created = self.scene.create(claim).await;
        self.bindery.until_exit().await;
        self.bindery.run().await;
        if created.is_ok() {
            self.scene.delete(&name).await;
        }
        eventually("the volume of the refused claim is gone", async || {
            let volumes = self.scene.volumes().list(&ListParams::default()).await.unwrap();
            let mut classes = volumes
                .iter()
                .filter_map(|volume| volume.spec.as_ref()?.storage_class_name.as_ref());
            (!classes.any(|other| *other == class)).then_some(())
        })
        .await;
    }

    async fn use_and_delete(&self, name: &str, volume: &PersistentVolume) {
        let directory = directory(volume);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "a fresh directory");
        for number in 0..FILES {
            std::fs::write(directory.join(number.to_string()), name).unwrap();
        }
        self.scene.delete(name).await;
    }

    /// Asserts that the volume and the trash are gone, and that all files are only in the place that the policy requires.
    async fn assert_all_done(&self, volume: &PersistentVolume) {
        self.scene.until_gone(volume).await;
        let trash = Bed::get().export.join(".bindery-trash");
        eventually("nothing of the directory is in the trash", async || {
            let mut left = std::fs::read_dir(&trash).into_iter().flatten().flatten();
            let ours = |name: &str| name.contains(volume_name(volume));
            (!left.any(|entry| ours(&entry.file_name().to_string_lossy()))).then_some(())
        })
        .await;
        let place = directory(volume);
        let name = place.file_name().unwrap().to_str().unwrap();
        let of_this = |found: &String| found.contains(name);
        let found: Vec<String> = self.scene.own_directories().into_iter().filter(of_this).collect();
        let mut objects = self.scene.own_archives().await;
        objects.retain(|archive| archive.spec.volume_name.as_deref() == Some(volume_name(volume)));
        let wanted = match self.on_delete {
            "delete" => return assert_eq!((found, objects), (Vec::<String>::new(), vec![])),
            "archive" => format!("archived-{name}-"),
            _ => name.to_owned(),
        };
        let expected: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|_| self.on_delete == "archive")
            .collect();
        let recorded: Vec<&str> = objects.iter().map(|archive| &*archive.spec.directory).collect();
        assert_eq!(recorded, expected, "each archive has one object");
        assert!(found.len() == 1 && found[0].starts_with(&wanted), "{found:?}");
        let files = std::fs::read_dir(place.parent().unwrap().join(&found[0])).unwrap();
        assert_eq!(files.count(), FILES);
    }
}
