//! A directory on which modes cannot be set, as on file systems with ACLs of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory that `bindfs` shows at another place. Dropping this unmounts it.
pub struct Bindfs {
    at: PathBuf,
    /// The command before each program: it enters the network of a server, where it has its mounts.
    enter: Vec<String>,
}

impl Bindfs {
    /// Mounts `from` at `at`. `how` is `--chmod-deny` (setting a mode fails with EPERM) or `--chmod-ignore` (it reports
    /// success and sets nothing).
    pub fn mount(how: &str, from: &Path, at: &Path, enter: Vec<String>) -> Self {
        let bindfs = Self {
            at: at.to_owned(),
            enter,
        };
        let mut mount = bindfs.program("bindfs");
        mount.args([how, "-o", "allow_other,default_permissions"]);
        let done = mount.arg(from).arg(at).status();
        assert!(done.expect("bindfs").success());
        bindfs
    }

    fn program(&self, name: &str) -> Command {
        let mut words = self.enter.iter().map(String::as_str).chain([name]);
        let mut command = Command::new(words.next().unwrap_or(name));
        command.args(words);
        command
    }
}

impl Drop for Bindfs {
    fn drop(&mut self) {
        let _ = self.program("umount").arg("--lazy").arg(&self.at).status();
    }
}
