//! Volumes with Bindery's finalizer that this installation did not create, and the message about them.
//!
//! A backup tool may have removed annotations, or copied the volume from another cluster. Bindery does not change such a
//! volume, because another installation may use its directory. An administrator runs one of two commands.

use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::json;

use crate::model::directory::Shown;
use crate::model::names::{self, volume_annotation};
use crate::model::volume::Installation;

/// Why this installation does not manage a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOurs {
    /// The volume does not name both a provisioner and an instance.
    Unmarked,
    /// The volume belongs to another installation with the same provisioner. It is not known whether that installation runs
    /// in this cluster.
    OtherInstance,
}

/// A volume with Bindery's finalizer that this installation does not manage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmanagedVolume {
    /// The volume's name.
    pub name: String,
    /// Its class, if it names one.
    pub class: Option<String>,
    provisioner: Option<String>,
    instance: Option<String>,
    /// The index of Bindery's finalizer.
    finalizer_index: usize,
}

impl UnmanagedVolume {
    /// Reads a volume. `None` if it does not have Bindery's finalizer, or if it names this installation or another
    /// provisioner.
    pub fn read(volume: &PersistentVolume, installation: &Installation) -> Option<Self> {
        let meta = &volume.metadata;
        let get = |key| meta.annotations.as_ref()?.get(key).cloned();
        let found = Self {
            name: meta.name.clone()?,
            class: volume.spec.as_ref()?.storage_class_name.clone(),
            provisioner: get(volume_annotation::PROVISIONED_BY),
            instance: get(volume_annotation::INSTANCE),
            finalizer_index: meta
                .finalizers
                .as_ref()?
                .iter()
                .position(|held| held == names::FINALIZER)?,
        };
        let may_be_ours = found
            .provisioner
            .as_ref()
            .is_none_or(|provisioner| *provisioner == installation.provisioner);
        let ours = found.provisioner.is_some() && found.instance.as_ref() == Some(&installation.instance);
        (may_be_ours && !ours).then_some(found)
    }

    /// Describes the owner that the annotations name.
    pub fn owner(&self) -> String {
        let named = |what: &str, value: &Option<String>| match value {
            Some(value) => format!("{what} {:?}", Shown(value)),
            None => format!("no {what}"),
        };
        format!(
            "its annotations name {} and {}",
            named("provisioner", &self.provisioner),
            named("instance", &self.instance)
        )
    }

    /// The command that removes the finalizer and retains the volume and its directory.
    pub fn release_command(&self) -> String {
        let finalizer = format!("/metadata/finalizers/{}", self.finalizer_index);
        let patch = json!([
            {"op": "test", "path": finalizer, "value": names::FINALIZER},
            {"op": "remove", "path": finalizer},
            {"op": "replace", "path": "/spec/persistentVolumeReclaimPolicy", "value": "Retain"},
        ]);
        format!("kubectl patch pv {} --type=json -p='{patch}'", self.name)
    }

    /// The command that gives the volume to this installation.
    pub fn takeover_command(&self, installation: &Installation) -> String {
        let Installation { provisioner, instance } = installation;
        format!(
            "kubectl annotate pv {} --overwrite {}={provisioner} {}={instance}",
            self.name,
            volume_annotation::PROVISIONED_BY,
            volume_annotation::INSTANCE
        )
    }

    /// The text of the Event.
    pub fn note(&self, why: NotOurs, installation: &Installation) -> String {
        let why = match why {
            NotOurs::Unmarked => "No Bindery installation manages this volume",
            NotOurs::OtherInstance => {
                "Another Bindery installation created this volume and must clean it up, if it runs in this cluster"
            }
        };
        format!(
            "{why}: {}. Bindery does nothing until you choose. To remove the finalizer and keep the directory: {}. To \
            let this Bindery clean up as annotation bindery.dev/on-delete says: {}",
            self.owner(),
            self.release_command(),
            self.takeover_command(installation)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::policy::fixtures::installation;

    fn found(annotations: Value) -> Option<UnmanagedVolume> {
        let volume = json!({
            "metadata": {
                "name": "pvc-1",
                "annotations": annotations,
                "finalizers": ["kubernetes.io/pv-protection", "bindery.dev/cleanup"],
            },
            "spec": {"storageClassName": "fast"},
        });
        UnmanagedVolume::read(&serde_json::from_value(volume).unwrap(), &installation())
    }

    #[test]
    fn the_note_names_the_owner_and_both_commands() {
        let restored = found(json!({"bindery.dev/instance": "green"})).unwrap();
        assert_eq!(
            restored.note(NotOurs::Unmarked, &installation()),
            "No Bindery installation manages this volume: its annotations name no provisioner and instance \"green\". \
            Bindery does nothing until you choose. To remove the finalizer and keep the directory: kubectl patch pv \
            pvc-1 --type=json -p='[{\"op\":\"test\",\"path\":\"/metadata/finalizers/1\",\"value\":\
             \"bindery.dev/cleanup\"},{\"op\":\"remove\",\"path\":\"/metadata/finalizers/1\"},{\"op\":\"replace\",\"path\":\
             \"/spec/persistentVolumeReclaimPolicy\",\"value\":\"Retain\"}]'. To let this Bindery clean up as \
             annotation bindery.dev/on-delete says: kubectl annotate pv pvc-1 --overwrite \
             pv.kubernetes.io/provisioned-by=bindery.dev/nfs bindery.dev/instance=blue"
        );
        let moved =
            found(json!({"pv.kubernetes.io/provisioned-by": "bindery.dev/nfs", "bindery.dev/instance": "a\nb"}));
        assert_eq!(
            moved.unwrap().owner(),
            "its annotations name provisioner \"bindery.dev/nfs\" and instance \"a\\nb\""
        );
    }

    #[test]
    fn volumes_of_this_installation_and_of_other_provisioners_are_ignored() {
        let annotations = |provisioner: &str, instance: &str| -> Value {
            json!({"pv.kubernetes.io/provisioned-by": provisioner, "bindery.dev/instance": instance})
        };
        assert_eq!(found(annotations("bindery.dev/nfs", "blue")), None);
        assert_eq!(found(annotations("example.com/other", "blue")), None);
        assert_eq!(
            found(json!({"pv.kubernetes.io/provisioned-by": "example.com/other"})),
            None
        );
        assert!(found(annotations("bindery.dev/nfs", "green")).is_some());
        assert!(found(json!({"bindery.dev/instance": "blue"})).is_some());
        assert!(found(json!(null)).is_some());
    }

    #[test]
    fn a_note_about_the_longest_names_fits_into_an_event() {
        let mut longest = found(json!({"bindery.dev/instance": "x".repeat(5000)})).unwrap();
        longest.name = "pvc-00000000-0000-0000-0000-000000001234".to_owned();
        let installation = Installation {
            provisioner: "k8s-sigs.io/nfs-subdir-external-provisioner".to_owned(),
            instance: "00000000-0000-0000-0000-000000001234".to_owned(),
        };
        let note = longest.note(NotOurs::OtherInstance, &installation);
        assert!(note.len() <= 1024, "{}", note.len());
    }
}
