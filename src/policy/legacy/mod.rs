//! Classes and volumes of nfs-subdir-external-provisioner, under whose provisioner name Bindery can serve.

pub mod class;
pub mod volume;
