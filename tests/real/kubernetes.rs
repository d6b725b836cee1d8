//! The API server of Kubernetes and `kubectl`: what is rolled out there is a change here, and what is not is none.
//!
//! The server takes minutes to compile, so nothing builds it here: `HALO_KUBE_APISERVER` names one, and `etcd` and `kubectl` must be
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::halo::Halo;
use tests::process::{self, Process};
use wire::query::{Query, Reply};
use wire::topology::{ChangeKind, Deploy};

const WAIT: Duration = Duration::from_secs(60);

/// An API server without nodes: objects only.
struct Cluster {
    api: Process,
    _etcd: Process,
    address: String,
    config: PathBuf,
    folder: PathBuf,
}

impl Cluster {
    /// `None` where there is none, which is said.
    #[expect(clippy::print_stdout, reason = "who reads the output shall see what was not run")]
    async fn start(folder: &Path) -> Result<Option<Self>> {
        let there = |program: &str| {
            Command::new(program)
                .arg("--help")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        let Ok(program) = process::program("HALO_KUBE_APISERVER") else {
            println!("skipped: HALO_KUBE_APISERVER names no API server of Kubernetes");
            return Ok(None);
        };
        if there("etcd").is_err() || there("kubectl").is_err() {
            println!("skipped: etcd or kubectl is not installed");
            return Ok(None);
        }
        let (client, peer, address) = (
            process::free_address()?,
            process::free_address()?,
            process::free_address()?,
        );
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(folder.join("etcd")).args([
            "--unsafe-no-fsync",
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &format!("default={peer}"),
        ]);
        let etcd = Process::start("etcd", &mut etcd, folder)?;
        fs::write(folder.join("tokens.csv"), "admintoken,admin,1,system:masters\n")?;
        let key = folder.join("sa.key");
        let made = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&key)
            .stderr(Stdio::null())
            .status()?;
        ensure!(made.success(), "openssl made no key");
        let port = address.rsplit(':').next().unwrap_or_default();
        let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let mut api = Command::new(program);
        api.args([
            flag("etcd-servers", &client),
            flag("secure-port", &port),
            flag("bind-address", &"127.0.0.1"),
            flag("advertise-address", &"127.0.0.1"),
            flag("cert-dir", &folder.join("certs").display()),
            flag("token-auth-file", &folder.join("tokens.csv").display()),
            flag("authorization-mode", &"RBAC"),
            flag("service-cluster-ip-range", &"10.0.0.0/24"),
            flag("service-account-issuer", &"https://kubernetes.default.svc"),
            flag("service-account-key-file", &key.display()),
            flag("service-account-signing-key-file", &key.display()),
            flag("disable-admission-plugins", &"ServiceAccount"),
            flag("endpoint-reconciler-type", &"none"),
        ]);
        let api = Process::start("kube-apiserver", &mut api, folder)?;
        let config = folder.join("kubeconfig");
        fs::write(
            &config,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
                 clusters: [{{name: c, cluster: {{server: \"https://{address}\", insecure-skip-tls-verify: true}}}}]\n\
                 users: [{{name: u, user: {{token: admintoken}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
            ),
        )?;
        let cluster = Self {
            api,
            _etcd: etcd,
            address,
            config,
            folder: folder.to_owned(),
        };
        process::wait_for("the API is ready", WAIT, || async {
            Ok(cluster.kubectl(&["get", "--raw", "/readyz"]).ok())
        })
        .await
        .with_context(|| cluster.api.tail())?;
        Ok(Some(cluster))
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.config)
            .args(arguments)
            .output()?;
        ensure!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn apply(&self, text: &str) -> Result<String> {
        let path = self.folder.join("object.yaml");
        fs::write(&path, text)?;
        self.kubectl(&["apply", "-f", path.to_str().unwrap_or_default()])
    }
}

async fn changes(halo: &Halo) -> Result<Vec<Deploy>> {
    let query = Query::Changes {
        from: None,
        to: None,
        tags: Vec::new(),
        any_tag: false,
        limit: None,
    };
    match halo.query(&query).await? {
        Reply::Changes(changes) => Ok(changes),
        other => anyhow::bail!("asked for changes, got {other:?}"),
    }
}

const CART: &str = "apiVersion: apps/v1\nkind: KIND\nmetadata: {name: NAME}\nspec:\n\
    \x20 selector: {matchLabels: {app: NAME}}\n\
    \x20 template:\n    metadata: {labels: {app: NAME}}\n    spec: {containers: [{name: main, image: \"shop/NAME:v1\"}]}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_is_a_change_and_scaling_is_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(cluster) = Cluster::start(folder.path()).await? else {
        return Ok(());
    };
    let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agents/kubernetes-watch.yaml");
    cluster.kubectl(&["apply", "-f", rights.to_str().unwrap_or_default()])?;
    let token = folder.path().join("token");
    fs::write(&token, cluster.kubectl(&["create", "token", "halo"])?)?;
    let of = |kind: &str, name: &str| CART.replace("KIND", kind).replace("NAME", name);
    cluster.apply(&of("Deployment", "cart"))?;
    let config = folder.path().join("halo.toml");
    fs::write(
        &config,
        format!(
            "[host]\nenabled = false\n[kubernetes]\napi = \"https://{}\"\ntoken_file = \"{}\"\nca_file = \"{}\"\n",
            cluster.address,
            token.display(),
            folder.path().join("certs/apiserver.crt").display()
        ),
    )?;
    let halo = Halo::serve_configured(&folder.path().join("data"), folder.path(), &config).await?;
    process::wait_for("the cluster is watched", WAIT, || async {
        let Reply::Snapshot(snapshot) = halo.query(&Query::Snapshot).await? else {
            anyhow::bail!("not a snapshot")
        };
        let source = snapshot
            .status
            .sources
            .iter()
            .find(|source| source.name == "kubernetes");
        let note = source.map(|source| source.note.clone()).unwrap_or_default();
        ensure!(
            note.ends_with("watches 1 deployments, 0 statefulsets, 0 daemonsets"),
            "{note}"
        );
        Ok(Some(()))
    })
    .await
    .with_context(|| halo.process.tail())?;

    cluster.kubectl(&["scale", "deployment/cart", "--replicas=3"])?;
    cluster.kubectl(&["set", "image", "deployment/cart", "main=shop/cart:v2"])?;
    cluster.kubectl(&["rollout", "restart", "deployment/cart"])?;
    cluster.kubectl(&["set", "image", "deployment/cart", "main=shop/cart:v3"])?;
    cluster.apply(&of("DaemonSet", "agent"))?;
    cluster.kubectl(&["delete", "daemonset/agent"])?;
    let expected = [
        ("agent", ChangeKind::Deploy, "agent:v1"),
        ("agent", ChangeKind::Removal, "removed"),
        ("cart", ChangeKind::Deploy, "cart:v2"),
        ("cart", ChangeKind::Deploy, "cart:v3"),
        ("cart", ChangeKind::Config, "restart"),
    ];
    process::wait_for("every rollout is a change", WAIT, || async {
        let changes = changes(&halo).await?;
        let mut found: Vec<_> = changes
            .iter()
            .map(|c| (c.entity.as_str(), c.kind, c.version.as_str()))
            .collect();
        found.sort();
        ensure!(found == expected, "{found:?}");
        Ok(Some(()))
    })
    .await
    .with_context(|| halo.process.tail())?;
    let changes = changes(&halo).await?;
    let second = changes
        .iter()
        .find(|change| change.version == "cart:v2")
        .context("no v2")?;
    ensure!(second.note == "main: shop/cart:v1 -> shop/cart:v2", "{second:?}");
    ensure!(second.tags == ["namespace:default", "kind:deployment"], "{second:?}");
    Ok(())
}
