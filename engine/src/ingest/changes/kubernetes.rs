//! Rollouts in Kubernetes: a workload whose pod template is another one than before was rolled out, whoever did it and however.
//!
//! Pure: objects and events of the API in, changes out. What is there when watching begins is learnt and told to nobody. A template with
//! other images is a deploy, one that was there before a rollback, any other change of it configuration. Scaling is none: an autoscaler
//! does it all day. [`client`] asks the API.

pub mod client;

use super::{MAX_NOTE_BYTES, change, cut, tags, time_of};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use wire::Timestamp;
use wire::topology::{ChangeKind, Deploy};
use xxhash_rust::xxh3::xxh3_64;

/// The name under which they are counted.
pub const SOURCE: &str = "kubernetes";

/// Templates of a workload that are remembered, to tell a rollback from a deploy.
const REMEMBERED: usize = 10;

/// `kubectl rollout restart` sets it to the time.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// The name in addresses.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }

    const fn singular(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
        }
    }
}

/// A workload as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    uid: String,
    namespace: String,
    name: String,
    /// Grows with every change of what is wished for.
    generation: i64,
    /// The hash of the pod template.
    template: u64,
    /// Containers and their images.
    images: BTreeMap<String, String>,
    restarted: Option<String>,
    /// When somebody last wrote the template.
    written: Option<Timestamp>,
}

impl Workload {
    /// Reads an object of the API; `None`: it is no workload.
    pub fn read(object: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let metadata = &object["metadata"];
        let template = object["spec"]["template"].as_object()?;
        let containers = ["initContainers", "containers"].iter().flat_map(|list| {
            let list = template.get("spec").and_then(|spec| spec[*list].as_array());
            list.into_iter().flatten()
        });
        let images = containers.filter_map(|container| Some((text(&container["name"])?, text(&container["image"])?)));
        let of_template = template
            .get("metadata")
            .map(|metadata| &metadata["annotations"][RESTARTED]);
        // Maps are sorted by name, so equal templates have equal bytes.
        let bytes = object["spec"]["template"].to_string();
        Some(Self {
            uid: text(&metadata["uid"])?,
            namespace: text(&metadata["namespace"])?,
            name: text(&metadata["name"])?,
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            template: xxh3_64(bytes.as_bytes()),
            images: images.collect(),
            restarted: of_template.and_then(text),
            written: written(metadata),
        })
    }
}

/// When a manager of fields last wrote the pod template.
fn written(metadata: &Value) -> Option<Timestamp> {
    let managers = metadata["managedFields"].as_array()?.iter();
    let of_template = managers.filter(|manager| manager["fieldsV1"]["f:spec"]["f:template"].is_object());
    of_template
        .filter_map(|manager| time_of(manager["time"].as_str()?))
        .max()
}

/// An event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A workload is there, new or changed.
    There(Workload),
    Gone(Workload),
    /// Nothing but a place to go on from.
    Bookmark,
    /// The place to go on from is too old: everything must be listed anew.
    Expired,
    /// The API could not go on, and why.
    Failed(String),
}

/// Reads a line of a watch: the event and the place to go on from, if it says one.
///
/// # Errors
/// What is wrong with the line.
pub fn event(line: &[u8]) -> Result<(Event, Option<String>), String> {
    let event: Value = serde_json::from_slice(line).map_err(|error| format!("an event of the watch: {error}"))?;
    let object = &event["object"];
    let place = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    let workload = || Workload::read(object).ok_or_else(|| "an event of the watch holds no workload".to_owned());
    let event = match event["type"].as_str().unwrap_or_default() {
        "ADDED" | "MODIFIED" => Event::There(workload()?),
        "DELETED" => Event::Gone(workload()?),
        "BOOKMARK" => Event::Bookmark,
        "ERROR" if object["code"] == 410 => return Ok((Event::Expired, None)),
        "ERROR" => {
            return Ok((
                Event::Failed(object["message"].as_str().unwrap_or("no reason").to_owned()),
                None,
            ));
        }
        other => return Err(format!("an event of the watch is of the unknown type {other:.40?}")),
    };
    Ok((event, place))
}

#[derive(Debug)]
struct Known {
    workload: Workload,
    /// Templates before the present one, the latest last.
    earlier: VecDeque<u64>,
}

/// The workloads of one kind in one place that is watched.
#[derive(Debug)]
pub struct Rollouts {
    kind: Kind,
    /// By what the API names them for good; `None` before the first list.
    known: Option<BTreeMap<String, Known>>,
}

impl Rollouts {
    /// Nothing is known yet.
    pub fn new(kind: Kind) -> Self {
        Self { kind, known: None }
    }

    /// Number of workloads.
    pub fn len(&self) -> usize {
        self.known.as_ref().map_or(0, BTreeMap::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything there is; what happened since the last list, if this is not the first.
    pub fn listed(&mut self, all: Vec<Workload>, now: Timestamp) -> Vec<Deploy> {
        let Some(before) = &mut self.known else {
            let known = |workload: Workload| (workload.uid.clone(), Known::new(workload));
            self.known = Some(all.into_iter().map(known).collect());
            return Vec::new();
        };
        let still: std::collections::BTreeSet<&str> = all.iter().map(|workload| workload.uid.as_str()).collect();
        let gone = before.values().map(|known| known.workload.clone());
        let gone: Vec<_> = gone.filter(|workload| !still.contains(workload.uid.as_str())).collect();
        let mut changes: Vec<Deploy> = gone.iter().filter_map(|workload| self.gone(workload, now)).collect();
        changes.extend(all.into_iter().filter_map(|workload| self.there(workload, now)));
        changes
    }

    /// A workload as it is now; the change, if it was rolled out.
    pub fn there(&mut self, workload: Workload, now: Timestamp) -> Option<Deploy> {
        let known = self.known.get_or_insert_default();
        let Some(before) = known.get_mut(&workload.uid) else {
            let images: Vec<_> = workload.images.values().map(|image| short(image)).collect();
            let deploy = made(
                self.kind,
                &workload,
                ChangeKind::Deploy,
                &images.join(", "),
                "first rollout".into(),
                now,
            );
            known.insert(workload.uid.clone(), Known::new(workload));
            return deploy;
        };
        if workload.template == before.workload.template {
            before.workload = workload;
            return None;
        }
        let (kind, version, note) = before.difference(&workload);
        before.earlier.push_back(before.workload.template);
        if before.earlier.len() > REMEMBERED {
            before.earlier.pop_front();
        }
        before.workload = workload;
        made(self.kind, &before.workload, kind, &version, note, now)
    }

    /// A workload that was taken away.
    pub fn gone(&mut self, workload: &Workload, now: Timestamp) -> Option<Deploy> {
        let known = self.known.as_mut()?.remove(&workload.uid)?.workload;
        // Nobody writes the template of what is taken away.
        let known = Workload {
            written: None,
            generation: -1,
            ..known
        };
        made(self.kind, &known, ChangeKind::Removal, "removed", String::new(), now)
    }
}

impl Known {
    fn new(workload: Workload) -> Self {
        Self {
            workload,
            earlier: VecDeque::new(),
        }
    }

    /// What kind of change the new template is, in a few words and in full.
    fn difference(&self, now: &Workload) -> (ChangeKind, String, String) {
        let before = &self.workload;
        let is_new = |(container, image): &(&String, &String)| before.images.get(*container) != Some(*image);
        let changed: Vec<_> = now.images.iter().filter(is_new).collect();
        let none = "none".to_owned();
        let line = |(container, image): &(&String, &String)| {
            format!(
                "{container}: {} -> {image}",
                before.images.get(*container).unwrap_or(&none)
            )
        };
        let note = changed.iter().map(line).collect::<Vec<_>>().join("; ");
        if changed.is_empty() {
            let is_restart = now.restarted != before.restarted && now.restarted.is_some();
            let what = if is_restart { "restart" } else { "pod template" };
            return (ChangeKind::Config, what.to_owned(), note);
        }
        let version: Vec<_> = changed.iter().map(|(_, image)| short(image)).collect();
        let kind = if self.earlier.contains(&now.template) {
            ChangeKind::Rollback
        } else {
            ChangeKind::Deploy
        };
        (kind, version.join(", "), note)
    }
}

fn made(
    kind: Kind,
    workload: &Workload,
    change_kind: ChangeKind,
    version: &str,
    note: String,
    now: Timestamp,
) -> Option<Deploy> {
    // A clock that is ahead of this one's must not date a change into the future.
    let at = workload.written.filter(|at| *at <= now).unwrap_or(now);
    let version = if version.is_empty() { "pod template" } else { version };
    let deploy = change(SOURCE, at, &workload.name, version).ok()?;
    let namespace = format!("namespace:{}", workload.namespace);
    Some(Deploy {
        kind: change_kind,
        id: format!("{}@{}", workload.uid, workload.generation),
        note: cut(&note, MAX_NOTE_BYTES),
        tags: tags([namespace, format!("kind:{}", kind.singular())]),
        ..deploy
    })
}

/// `registry.example/shop/cart:v2@sha256:0123…` is `cart:v2`; without a tag, the start of its digest is told.
fn short(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once("@sha256:") {
        Some((name, _)) if name.contains(':') => name.to_owned(),
        Some((name, digest)) => format!("{name}@{}", digest.chars().take(7).collect::<String>()),
        None => last.to_owned(),
    }
}

#[cfg(test)]
mod tests;
