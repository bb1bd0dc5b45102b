//! Tests when the cleanup of a volume ends because the volume is gone.

use super::*;
use crate::policy::fixtures;

#[test]
fn the_cleanup_ends_when_the_volume_is_gone_or_is_not_to_be_cleaned_up_any_more() {
    let volume = Volume {
        deleting: true,
        ..fixtures::volume("pvc-1", "data")
    };
    assert!(waits_for_cleanup(Some(volume.clone()), &volume).is_ok());
    let change = |change: fn(&mut Volume)| {
        let mut now = volume.clone();
        change(&mut now);
        Some(now)
    };
    for now in [
        None,
        change(|now| now.uid = "later".to_owned()),
        change(|now| now.deleting = false),
        change(|now| now.has_finalizer = false),
    ] {
        let ended = waits_for_cleanup(now.clone(), &volume);
        assert!(matches!(ended, Err(Error::VolumeGone)), "{now:?}");
    }
}
