//! Decides the next step for a claim whose request is larger than its capacity.
//!
//! An NFS server does not enforce the size of a directory, so a size is only a number in three places: the claim's
//! request, the volume's capacity, and the capacity in the claim's status. First the volume gets the requested size, then
//! the status gets the size of the volume. After a crash between the two writes, the second one is the next step.
//!
//! Kubernetes accepts a larger request only if the StorageClass has `allowVolumeExpansion: true` at that moment, and a
//! smaller request only above the capacity in the status. So Bindery does not read the class here. No size becomes
//! smaller: a volume that was expanded for an earlier request keeps its size, and the claim gets that size.
//!
//! A volume that a CSI driver mounts has a second writer, if csi-resizer of the driver runs. It writes an allocated size to
//! the status, then the size of the volume without a test, and then the status. It may be late, and write the size of an
//! earlier request to the volume after Bindery has served a later one. So the volume gets the size of the claim again.

use crate::model::choices::SizeLimit;
use crate::model::claim::{Bytes, Claim};
use crate::model::volume::{Installation, Volume};

/// The next step of an expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expansion {
    /// Nothing: the claim has the requested size.
    Done,
    /// Write this capacity on the volume, and then in the status of the claim.
    Volume(Bytes),
    /// The volume has this capacity: write it in the status of the claim.
    Claim(Bytes),
    /// Another program may have written this capacity: raise the limit of the directory.
    Limit(Bytes),
}

/// Decides the next step for a claim and its volume.
pub fn next(claim: &Claim, volume: &Volume) -> Expansion {
    let in_volume = |least: &Bytes| volume.capacity.clone().filter(|size| size.bytes >= least.bytes);
    if let Some(request) = claim.request.as_ref().filter(|_| claim.asks_for_more()) {
        return in_volume(request).map_or_else(|| Expansion::Volume(request.clone()), Expansion::Claim);
    }
    let sets_limit = (volume.record.as_ref()).is_ok_and(|record| record.size_limit == SizeLimit::Set);
    match claim.capacity.as_ref().filter(|_| claim.allocated.is_some()) {
        Some(size) => match in_volume(size) {
            None => Expansion::Volume(size.clone()),
            Some(size) if sets_limit => Expansion::Limit(size),
            Some(_) => Expansion::Done,
        },
        None => Expansion::Done,
    }
}

/// Whether this installation expands a volume for the claim with this uid: it manages the volume, which is bound to that
/// claim and ready.
pub fn may_expand(volume: &Volume, claim_uid: &str, installation: &Installation) -> bool {
    let is_ours = volume.has_finalizer && volume.maker.as_ref() == Some(installation);
    is_ours && volume.ready && volume.claim_uid() == Some(claim_uid)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::*;
    use crate::policy::fixtures;

    fn size(text: &str) -> Option<Bytes> {
        Bytes::read(&Quantity(text.to_owned()))
    }

    #[test]
    fn each_combination_of_sizes_has_its_step() {
        let volume_gets = |text| Expansion::Volume(size(text).unwrap());
        let claim_gets = |text| Expansion::Claim(size(text).unwrap());
        // The request, the volume's capacity, the capacity in the claim's status.
        for (request, capacity, status, step) in [
            ("1Gi", "1Gi", "1Gi", Expansion::Done),
            ("5Gi", "1Gi", "1Gi", volume_gets("5Gi")),
            // A crash between the two writes.
            ("5Gi", "5Gi", "1Gi", claim_gets("5Gi")),
            // The same size, written in another way.
            ("5Gi", "5120Mi", "1Gi", claim_gets("5120Mi")),
            ("5Gi", "5Gi", "5120Mi", Expansion::Done),
            // A crash between the two writes, and then a larger request, or a smaller one.
            ("7Gi", "5Gi", "1Gi", volume_gets("7Gi")),
            ("3Gi", "5Gi", "1Gi", claim_gets("5Gi")),
            // The claim has more than it requests.
            ("3Gi", "5Gi", "5Gi", Expansion::Done),
            ("4Gi", "5Gi", "5Gi", Expansion::Done),
            ("1G", "1Gi", "1Gi", Expansion::Done),
            // Somebody has changed the volume, or the status.
            ("1Gi", "5Gi", "1Gi", Expansion::Done),
            ("5Gi", "1Gi", "5Gi", Expansion::Done),
            ("5Gi", "1Gi", "2Gi", volume_gets("5Gi")),
            ("5Gi", "", "1Gi", volume_gets("5Gi")),
            ("5Gi", "5Gi", "", claim_gets("5Gi")),
            ("", "5Gi", "1Gi", Expansion::Done),
        ] {
            let claim = Claim {
                request: size(request),
                capacity: size(status),
                ..Claim::default()
            };
            let mut volume = fixtures::volume("pvc-1", "data");
            volume.capacity = size(capacity);
            assert_eq!(next(&claim, &volume), step, "{request:?} {capacity:?} {status:?}");
        }
    }

    #[test]
    fn what_csi_resizer_writes_too_late_is_corrected() {
        // The request, the volume's capacity, the capacity in the claim's status.
        for (request, capacity, status, limit, step) in [
            ("5Gi", "5Gi", "5Gi", SizeLimit::Ignore, Expansion::Done),
            (
                "5Gi",
                "3Gi",
                "5Gi",
                SizeLimit::Ignore,
                Expansion::Volume(size("5Gi").unwrap()),
            ),
            // The claim has more than it requests.
            (
                "4Gi",
                "4Gi",
                "5Gi",
                SizeLimit::Ignore,
                Expansion::Volume(size("5Gi").unwrap()),
            ),
            ("5Gi", "7Gi", "5Gi", SizeLimit::Ignore, Expansion::Done),
            (
                "5Gi",
                "5Gi",
                "5Gi",
                SizeLimit::Set,
                Expansion::Limit(size("5Gi").unwrap()),
            ),
            // The later request is served first.
            (
                "7Gi",
                "3Gi",
                "5Gi",
                SizeLimit::Set,
                Expansion::Volume(size("7Gi").unwrap()),
            ),
        ] {
            let claim = Claim {
                request: size(request),
                capacity: size(status),
                allocated: size(request),
                ..Claim::default()
            };
            let mut volume = fixtures::volume("pvc-1", "data");
            volume.capacity = size(capacity);
            volume.record.as_mut().unwrap().size_limit = limit;
            assert_eq!(
                next(&claim, &volume),
                step,
                "{request:?} {capacity:?} {status:?} {limit:?}"
            );
        }
    }

    #[test]
    fn only_a_managed_volume_of_the_claim_is_expanded() {
        let may = |change: fn(&mut Volume)| {
            let mut volume = fixtures::volume("pvc-1", "data");
            volume.ready = true;
            volume.claim.as_mut().unwrap().uid = Some("c".to_owned());
            change(&mut volume);
            may_expand(&volume, "c", &fixtures::installation())
        };
        assert!(may(|_| ()));
        assert!(may(|volume| volume.deleting = true), "the claim still uses it");
        let refused: [fn(&mut Volume); 7] = [
            |volume| volume.has_finalizer = false,
            |volume| volume.ready = false,
            |volume| volume.maker = None,
            |volume| volume.maker.as_mut().unwrap().instance = "green".to_owned(),
            |volume| volume.maker.as_mut().unwrap().provisioner = "example.com/other".to_owned(),
            |volume| volume.claim.as_mut().unwrap().uid = Some("d".to_owned()),
            |volume| volume.claim = None,
        ];
        for (case, change) in refused.into_iter().enumerate() {
            assert!(!may(change), "{case}");
        }
    }
}
