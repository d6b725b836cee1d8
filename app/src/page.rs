//! One file a route.

mod approvals;
mod incident;
mod incidents;
mod metric;
mod metrics;
mod not_found;
mod notifications;
mod now;
mod sources;
mod topology;
mod wall;

pub(crate) use approvals::Approvals;
pub(crate) use incident::Incident;
pub(crate) use incidents::Incidents;
pub(crate) use metric::Metric;
pub(crate) use metrics::Metrics;
pub(crate) use not_found::NotFound;
pub(crate) use notifications::Notifications;
pub(crate) use now::Now;
pub(crate) use sources::Sources;
pub(crate) use topology::Topology;
pub(crate) use wall::Wall;

use leptos::prelude::*;
use wire::series::SeriesInfo;

/// Names the browser's tab.
fn set_title(title: impl Fn() -> String + 'static) {
    Effect::new(move |_| document().set_title(&format!("{} · Halo", title())));
}

/// A name as one part of a query string.
pub(crate) fn encode(text: &str) -> String {
    js_sys::encode_uri_component(text).into()
}

/// Metric, statistic and the labels that tell siblings apart.
pub(crate) fn metric_name(info: &SeriesInfo) -> String {
    let mut name = info.quantity().into_owned();
    if let Some(statistic) = &info.statistic {
        name.push(' ');
        name.push_str(statistic);
    }
    // What is said already is not said again.
    let said = |key: &str| matches!(key, "__name__" | "entity" | "statistic");
    let labels: Vec<String> = info
        .labels
        .iter()
        .filter(|(key, _)| !said(key))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if !labels.is_empty() {
        name.push_str(&format!(" {{{}}}", labels.join(", ")));
    }
    name
}

/// Sets one key of the query string and keeps the others; `None` removes it.
fn with_query(path: &str, current: &leptos_router::params::ParamsMap, key: &str, value: Option<&str>) -> String {
    let mut parts: Vec<(String, String)> = current
        .clone()
        .into_iter()
        .filter(|(k, _)| k != key)
        .map(|(k, v)| (k.into_owned(), v))
        .collect();
    if let Some(value) = value {
        parts.push((key.to_owned(), value.to_owned()));
    }
    parts.sort();
    if parts.is_empty() {
        return path.to_owned();
    }
    let query: Vec<String> = parts
        .iter()
        .map(|(k, v)| format!("{}={}", encode(k), encode(v)))
        .collect();
    format!("{path}?{}", query.join("&"))
}
