//! A pod that writes the numbers 1, 2, 3 ... into a file of its volume, one after the other.

use std::path::PathBuf;

use serde_json::json;

use crate::node::{LATE, Pod, template, with_folder_of_node};
use crate::support::scene::Scene;
use crate::support::wait::eventually_within;

/// Writes numbers into `/data/numbers`. It ends with an error when a write fails, and with the line `end` at SIGTERM.
pub const SCRIPT: &str = "trap 'echo end >>/data/numbers; exit 0' TERM
n=0
while :; do
  n=$((n + 1))
  echo $n >>/data/numbers || exit 1
  sleep 0.2
done";

/// A pod that runs [`SCRIPT`].
pub struct Writer {
    pod: Pod,
    /// The directory of its volume on this machine.
    directory: PathBuf,
}

impl Writer {
    /// Starts the pod, and waits until it has written three numbers.
    pub async fn start(scene: &Scene, claim: &str, directory: PathBuf) -> Self {
        Self::named(scene, "writer", claim, directory).await
    }

    /// Does the same with this name of the pod.
    pub async fn named(scene: &Scene, name: &str, claim: &str, directory: PathBuf) -> Self {
        let pod = Pod::with_script(scene, name, claim, SCRIPT).await;
        Self::of(pod, directory).await
    }

    /// Starts the pod, which writes its errors into `errors` in this folder of the node.
    pub async fn with_errors_in(folder: &str, scene: &Scene, claim: &str, directory: PathBuf) -> Self {
        let spec = template(claim, &format!("exec 2>/out/errors; {SCRIPT}"), json!({}));
        let pod = Pod::running(scene, "writer", with_folder_of_node(spec, folder)).await;
        Self::of(pod, directory).await
    }

    async fn of(pod: Pod, directory: PathBuf) -> Self {
        let writer = Self { pod, directory };
        writer.until_more(3).await;
        writer
    }

    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    fn numbers(&self) -> Vec<u32> {
        parse(&std::fs::read_to_string(self.directory.join("numbers")).unwrap_or_default())
    }

    /// Waits until the pod has written some more numbers.
    pub async fn until_more(&self, count: usize) {
        let before = self.numbers().len();
        eventually_within(LATE, &format!("the pod has written {count} more numbers"), async || {
            (self.numbers().len() >= before + count).then_some(())
        })
        .await;
    }

    /// Asserts that every write has succeeded, and that all of them are in the file.
    pub async fn assert_complete(&self) {
        assert_consecutive(&self.numbers());
        assert_eq!(self.pod.restarts().await, 0);
    }

    /// Deletes the pod, and waits until it is gone.
    pub async fn end(self) {
        self.pod.end().await;
    }
}

/// Returns the numbers in a file of [`SCRIPT`].
pub fn parse(text: &str) -> Vec<u32> {
    // The last line may be incomplete.
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Asserts that these are the numbers 1, 2, 3 and so on.
pub fn assert_consecutive(numbers: &[u32]) {
    assert!(numbers.iter().copied().eq((1..).take(numbers.len())), "{numbers:?}");
    assert!(!numbers.is_empty(), "no number");
}
