//! kubectl with Bindery's plugin.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::bed::Bed;

/// A folder in `PATH` with kubectl, the plugin, and the program that completes it.
pub struct Plugin {
    folder: TempDir,
}

/// What a command has printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Printed {
    /// The exit status.
    pub status: Option<i32>,
    /// The standard output.
    pub out: String,
    /// The standard error.
    pub err: String,
}

impl Printed {
    /// Returns the lines of the output, with single spaces.
    pub fn rows(&self) -> Vec<String> {
        let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.out.lines().map(squeeze).collect()
    }

    /// Returns the output, and asserts that the command has succeeded and has written no error.
    pub fn success(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }
}

impl From<Output> for Printed {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self {
            status: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Plugin {
    /// Installs the plugin as its documentation says.
    pub fn install() -> Self {
        let plugin = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let kubectl = std::env::var("KUBECTL").expect("run `make test`");
        symlink(kubectl, plugin.path().join("kubectl")).expect("a link");
        symlink(env!("CARGO_BIN_EXE_bindery"), plugin.path().join("kubectl-bindery")).expect("a link");
        let script = plugin.bindery(&["completion", "kubectl"]).success();
        let completer = plugin.path().join("kubectl_complete-bindery");
        std::fs::write(&completer, script).expect("the script");
        std::fs::set_permissions(&completer, PermissionsExt::from_mode(0o755)).expect("its mode");
        plugin
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `kubectl bindery` as the administrator of the cluster.
    pub fn bindery(&self, arguments: &[&str]) -> Printed {
        self.kubectl(&[&["bindery"], arguments].concat())
    }

    /// Runs `kubectl`.
    pub fn kubectl(&self, arguments: &[&str]) -> Printed {
        run(self.command("kubectl").args(arguments))
    }

    /// Returns a command that finds the plugin, for the cluster of the test bed.
    pub fn command(&self, program: &str) -> Command {
        let system = std::env::var("PATH").expect("PATH");
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{}:{system}", self.path().display()))
            .env("KUBECONFIG", &Bed::get().kubeconfig)
            .env("PROVISIONER_NAME", &Bed::get().provisioner)
            .env_remove("COLUMNS");
        command
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Printed {
    command.output().expect("the program starts").into()
}
