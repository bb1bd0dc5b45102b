//! Chooses the cluster and the user from a kubeconfig.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// How the API server is reached, and as which user.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The kubeconfig file. Without it, that of the environment, else the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it, instead of its current one.
    pub context: Option<String>,
    /// The cluster in it, instead of that of the context.
    pub cluster: Option<String>,
    /// The user in it, instead of that of the context.
    pub user: Option<String>,
    /// The user to impersonate.
    pub as_user: Option<String>,
    /// The groups of that user.
    pub as_groups: Vec<String>,
    /// The longest time for one request, instead of [`super::client::CALL_TIMEOUT`].
    pub timeout: Option<Duration>,
}

impl Access {
    /// Returns the access that a kubeconfig file gives, else the environment or the pod.
    pub fn of_file(kubeconfig: Option<PathBuf>) -> Self {
        Self {
            kubeconfig,
            ..Self::default()
        }
    }

    /// Reads the kubeconfig.
    pub async fn config(&self) -> Result<Config> {
        let mut config = self.read().await?;
        config.auth_info.impersonate.clone_from(&self.as_user);
        config.auth_info.impersonate_groups = Some(self.as_groups.clone()).filter(|groups| !groups.is_empty());
        Ok(config)
    }

    async fn read(&self) -> Result<Config> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let chosen = [&self.context, &self.cluster, &self.user];
        let read = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file).with_context(|| format!("--kubeconfig {}", file.display()))?,
            None if chosen.into_iter().all(Option::is_none) => {
                return Config::infer()
                    .await
                    .context("no kubeconfig can be used: set --kubeconfig or KUBECONFIG, or run Bindery in a pod");
            }
            None => Kubeconfig::read().context("the kubeconfig of --context, --cluster or --user")?,
        };
        check(&read, &options)?;
        Ok(Config::from_custom_kubeconfig(read, &options).await?)
    }
}

/// Checks that the kubeconfig has what the options name.
fn check(kubeconfig: &Kubeconfig, options: &KubeConfigOptions) -> Result<()> {
    let Kubeconfig {
        contexts,
        clusters,
        auth_infos,
        current_context,
        ..
    } = kubeconfig;
    let contexts: Vec<&str> = contexts.iter().map(|context| &*context.name).collect();
    let clusters: Vec<&str> = clusters.iter().map(|cluster| &*cluster.name).collect();
    let users: Vec<&str> = auth_infos.iter().map(|user| &*user.name).collect();
    let all = [
        ("context", &options.context, contexts),
        ("cluster", &options.cluster, clusters),
        ("user", &options.user, users),
    ];
    for (kind, chosen, known) in all {
        if let Some(chosen) = chosen {
            ensure!(
                known.contains(&chosen.as_str()),
                "--{kind} {chosen}: the kubeconfig has no {kind} of that name; it has {}",
                words(&known)
            );
        }
    }
    if options.context.is_none() && current_context.as_ref().is_none_or(String::is_empty) {
        bail!(
            "the kubeconfig has no current context; name one with --context, or set one with kubectl config use-context"
        );
    }
    Ok(())
}

fn words(names: &[&str]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(current: &str) -> Kubeconfig {
        let text = format!(
            "current-context: {current:?}\ncontexts:\n- name: one\n- name: two\nclusters:\n- name: here\nusers: []\n"
        );
        Kubeconfig::from_yaml(&text).unwrap()
    }

    fn error(current: &str, context: Option<&str>, user: Option<&str>) -> Option<String> {
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            cluster: None,
            user: user.map(str::to_owned),
        };
        check(&kubeconfig(current), &options)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_name_that_the_kubeconfig_does_not_have_is_an_error_with_those_that_it_has() {
        assert_eq!(error("one", Some("two"), None), None);
        assert_eq!(
            error("one", Some("three"), None).unwrap(),
            "--context three: the kubeconfig has no context of that name; it has one, two"
        );
        assert_eq!(
            error("one", None, Some("eve")).unwrap(),
            "--user eve: the kubeconfig has no user of that name; it has none"
        );
        assert_eq!(
            error("", None, None).unwrap(),
            "the kubeconfig has no current context; name one with --context, or set one with kubectl config use-context"
        );
    }
}
