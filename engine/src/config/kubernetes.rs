//! `[kubernetes]`: its rollouts become changes. The table alone is enough inside a cluster.
//!
//! ```toml
//! [kubernetes]
//! api = "https://10.0.0.1:6443"    # else that of the cluster Halo runs in
//! token_file = "/run/secrets/kubernetes-token"
//! ca_file = "/run/secrets/kubernetes-ca.pem"
//! namespaces = ["shop"]            # else all
//! ```

use super::{check, is_http};
use crate::ingest::changes::kubernetes::client::KubernetesConfig;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where a pod finds what its account needs.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// `[kubernetes]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKubernetes {
    pub api: Option<String>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub namespaces: Vec<String>,
}

pub(super) fn kubernetes(raw: RawKubernetes, problems: &mut Vec<String>) -> KubernetesConfig {
    let is_name = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    check(problems, raw.namespaces.iter().all(is_name), || {
        format!(
            "kubernetes.namespaces: must be names such as \"shop\", got {:?}",
            raw.namespaces
        )
    });
    let in_cluster = || {
        let host = std::env::var("KUBERNETES_SERVICE_HOST").ok()?;
        let port = std::env::var("KUBERNETES_SERVICE_PORT").unwrap_or_else(|_| "443".to_owned());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Some(format!("https://{host}:{port}"))
    };
    let of_account = |file: &str| Some(Path::new(ACCOUNT).join(file));
    let (api, token_file, ca_file) = match raw.api {
        Some(api) => {
            check(problems, is_http(&api), || {
                format!("kubernetes.api: must start with https:// or http://, got {api:?}")
            });
            (api.trim_end_matches('/').to_owned(), raw.token_file, raw.ca_file)
        }
        None => {
            let api = in_cluster();
            check(problems, api.is_some(), || {
                "kubernetes.api: must be said where Halo does not run in the cluster, such as \"https://10.0.0.1:6443\""
                    .to_owned()
            });
            (
                api.unwrap_or_default(),
                raw.token_file.or_else(|| of_account("token")),
                raw.ca_file.or_else(|| of_account("ca.crt")),
            )
        }
    };
    KubernetesConfig {
        api,
        token_file,
        ca_file,
        namespaces: raw.namespaces,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RawConfig};
    use crate::error::Error;

    #[test]
    fn the_api_is_named_or_that_of_the_cluster() {
        let parse = |text: &str| Config::try_from(RawConfig::parse(text).unwrap());
        assert_eq!(parse("").unwrap().kubernetes, None);
        let config = parse("[kubernetes]\napi = \"http://127.0.0.1:8001/\"\nnamespaces = [\"shop\"]\n").unwrap();
        let config = config.kubernetes.unwrap();
        assert_eq!(
            (config.api.as_str(), config.token_file, config.ca_file),
            ("http://127.0.0.1:8001", None, None)
        );
        let problems = |text: &str| match parse(text) {
            Err(Error::Config(problems)) => problems.join("\n"),
            other => panic!("{other:?}"),
        };
        // No test runs in a cluster.
        assert!(problems("[kubernetes]\n").contains("kubernetes.api: must be said"));
        let both = problems("[kubernetes]\napi = \"x\"\nnamespaces = [\"a/b\"]\n");
        assert!(
            both.contains("kubernetes.api: must start") && both.contains("kubernetes.namespaces"),
            "{both}"
        );
    }
}
