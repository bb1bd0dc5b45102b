//! Arbitrary bytes as what an NFS server answers.

#![no_main]

// What it reaches is there for a fuzzer only, and not for clippy.
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bindery::storage::nfs::fuzzing::read_reply(bytes));
