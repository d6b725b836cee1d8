//! Series that explode: a label with another value for each request, user or build makes series without end.
//!
//! Limits on series are kept here, for all sources, for one source, for one metric of a source and for one tenant (the label
//! [`TENANT_LABEL`]), so that what explodes is cut off before it takes the room of others. Series that are known go on; new ones of the offender are refused, and a [`Finding`]
//! names the label to look at: the one with the most distinct values. Those are estimated by HyperLogLog (Flajolet et al. 2007,
//! 256 registers, standard error 6.5 %), of metrics with many series alone, so that a series costs a few bytes here.
//!
//! Pure. [`Cardinality::judge`] decides and changes nothing; [`Cardinality::count`] takes in what was added, so that a request
//! that failed half-way counts nothing. Series are judged in the order given: the same input is refused the same way.

mod sketch;

use crate::series::SeriesInfo;
use sketch::Sketch;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use wire::SeriesId;

/// Series of a metric from which on the values of its labels are counted.
const SKETCHED_FROM: usize = 64;

/// Labels of a metric whose values are counted.
const SKETCHED_LABELS: usize = 64;

/// The label that says to which tenant a series belongs. Series without it belong to none, and to no limit of one.
pub const TENANT_LABEL: &str = "tenant";

/// How many series there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesLimits {
    /// Of all sources together.
    pub total: usize,
    /// Of one source.
    pub per_source: usize,
    /// Of one metric of one source.
    pub per_metric: usize,
    /// Of one tenant, from whatever source.
    pub per_tenant: usize,
}

impl Default for SeriesLimits {
    fn default() -> Self {
        Self {
            total: 1_000_000,
            per_source: 800_000,
            per_metric: 50_000,
            per_tenant: 500_000,
        }
    }
}

/// Which limit a series is over, the narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Metric,
    Tenant,
    Source,
    Total,
    /// The process uses as much memory as it may.
    Memory,
}

/// New series of one offender were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub scope: Scope,
    /// The metric that has the most series; with [`Scope::Metric`] the one that was refused.
    pub metric: String,
    /// The label of it with the most values; `__name__` where it is the metrics themselves that are many.
    pub label: Option<String>,
    /// About so many values it has.
    pub values: u64,
    /// Series that count towards the limit.
    pub series: u64,
    pub limit: u64,
    /// New series refused.
    pub refused: u64,
    /// One sentence, lower case: what is refused, why, and what to do.
    pub text: String,
}

/// What becomes of new series.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    pub taken: Vec<SeriesInfo>,
    pub refused: BTreeMap<SeriesId, Scope>,
    /// One for each offender.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, Default)]
struct Metric {
    series: usize,
    /// Sorted by name.
    labels: Vec<(Box<str>, Sketch)>,
}

#[derive(Clone, Debug, Default)]
struct Source {
    series: usize,
    metrics: HashMap<Box<str>, Metric>,
}

/// What one request lost to one offender.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    /// New series refused.
    refused: u64,
    /// Series that were there by then.
    series: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Cardinality {
    limits: SeriesLimits,
    total: usize,
    sources: BTreeMap<Arc<str>, Source>,
    /// Series of each.
    tenants: HashMap<Box<str>, usize>,
}

impl Cardinality {
    /// Nothing is there yet.
    pub fn new(limits: SeriesLimits) -> Self {
        Self {
            limits,
            total: 0,
            sources: BTreeMap::new(),
            tenants: HashMap::new(),
        }
    }

    /// Takes in series that were added.
    pub fn count<'a>(&mut self, source: &Arc<str>, added: impl IntoIterator<Item = &'a SeriesInfo>) {
        let known = self.sources.entry(Arc::clone(source)).or_default();
        for info in added {
            self.total += 1;
            known.series += 1;
            if let Some(tenant) = tenant_of(info) {
                match self.tenants.get_mut(tenant) {
                    Some(series) => *series += 1,
                    None => {
                        self.tenants.insert(tenant.into(), 1);
                    }
                }
            }
            let metric = match known.metrics.get_mut(info.metric.as_str()) {
                Some(metric) => metric,
                None => known.metrics.entry(info.metric.as_str().into()).or_default(),
            };
            metric.count(info);
        }
    }

    /// Decides which of `new`, each there once, find room; none does if there is no memory for them.
    pub fn judge(&self, source: &str, new: Vec<SeriesInfo>, has_memory: bool) -> Judged {
        let mut judged = Judged::default();
        let known = self.sources.get(source);
        let (mut total, mut of_source) = (self.total, known.map_or(0, |known| known.series));
        let mut of_metric: HashMap<String, usize> = HashMap::new();
        let mut of_tenant: HashMap<String, usize> = HashMap::new();
        let mut cut: BTreeMap<(Scope, String), Cut> = BTreeMap::new();
        for info in new {
            let series = match of_metric.get_mut(&info.metric) {
                Some(series) => series,
                None => {
                    let before = known
                        .and_then(|known| known.metrics.get(info.metric.as_str()))
                        .map_or(0, |metric| metric.series);
                    of_metric.entry(info.metric.clone()).or_insert(before)
                }
            };
            let mut of_its_tenant = tenant_of(&info).map(|tenant| {
                let known = || self.tenants.get(tenant).copied().unwrap_or_default();
                (tenant, of_tenant.get(tenant).copied().unwrap_or_else(known))
            });
            let over = if *series >= self.limits.per_metric {
                Some((Scope::Metric, info.metric.clone(), *series))
            } else if let Some((tenant, there)) = of_its_tenant
                && there >= self.limits.per_tenant
            {
                Some((Scope::Tenant, tenant.to_owned(), there))
            } else if of_source >= self.limits.per_source {
                Some((Scope::Source, String::new(), of_source))
            } else if total >= self.limits.total {
                Some((Scope::Total, String::new(), total))
            } else if !has_memory {
                Some((Scope::Memory, String::new(), total))
            } else {
                None
            };
            if let Some((scope, name, there)) = over {
                judged.refused.insert(info.id, scope);
                let cut = cut.entry((scope, name)).or_default();
                cut.refused += 1;
                cut.series = there as u64;
            } else {
                *series += 1;
                if let Some((tenant, there)) = of_its_tenant.take() {
                    of_tenant.insert(tenant.to_owned(), there + 1);
                }
                of_source += 1;
                total += 1;
                judged.taken.push(info);
            }
        }
        judged.findings = cut
            .into_iter()
            .map(|((scope, name), cut)| self.finding(source, scope, &name, cut))
            .collect();
        judged
    }

    /// Series of a source.
    pub fn series_of(&self, source: &str) -> usize {
        self.sources.get(source).map_or(0, |known| known.series)
    }

    /// `name`: of the metric or the tenant.
    fn finding(&self, source: &str, scope: Scope, name: &str, cut: Cut) -> Finding {
        let empty = Source::default();
        let known = self.sources.get(source).unwrap_or(&empty);
        let (metric, label, values) = match scope {
            Scope::Metric => named(name, known.metrics.get(name)),
            Scope::Tenant | Scope::Source | Scope::Total | Scope::Memory => known.most(),
        };
        let Cut { refused, series } = cut;
        let (limit, setting) = match scope {
            Scope::Metric => (self.limits.per_metric as u64, "limits.max_series_per_metric"),
            Scope::Tenant => (self.limits.per_tenant as u64, "limits.max_series_per_tenant"),
            Scope::Source => (self.limits.per_source as u64, "limits.max_series_per_source"),
            Scope::Total => (self.limits.total as u64, "limits.max_series"),
            Scope::Memory => (series, "limits.max_memory_mb"),
        };
        let what = match scope {
            Scope::Metric => format!("new series of {metric} from {source} are refused: it has {series}"),
            Scope::Tenant => format!("new series of tenant {name} from {source} are refused: it has {series}"),
            Scope::Source => format!("new series from {source} are refused: it has {series}"),
            Scope::Total => format!("new series from {source} are refused: there are {series} of all sources"),
            Scope::Memory => format!("new series from {source} are refused: memory is short with {series} series"),
        };
        let why = match &label {
            Some(label) if label == "__name__" => {
                format!("it sends {values} metrics, so names hold what belongs in labels")
            }
            Some(label) if scope == Scope::Metric => format!("its label {label} has about {values} values"),
            Some(label) => format!("most are of {metric}, whose label {label} has about {values} values"),
            None => "no label stands out".to_owned(),
        };
        let at_source = match &label {
            Some(label) if label != "__name__" => format!("drop {label} at the source"),
            _ => "drop labels or metrics at the source".to_owned(),
        };
        Finding {
            text: format!("{what}, the limit {setting} is reached; {why}: {at_source}, or raise the limit"),
            scope,
            metric,
            label,
            values,
            series,
            limit,
            refused,
        }
    }
}

impl Metric {
    fn count(&mut self, info: &SeriesInfo) {
        self.series += 1;
        if self.series < SKETCHED_FROM {
            return;
        }
        for (name, value) in &info.labels {
            let place = match self.labels.binary_search_by(|(known, _)| (**known).cmp(name)) {
                Ok(place) => place,
                Err(_) if self.labels.len() >= SKETCHED_LABELS => continue,
                Err(place) => {
                    self.labels.insert(place, (name.as_str().into(), Sketch::default()));
                    place
                }
            };
            self.labels[place].1.add(value.as_bytes());
        }
    }

    /// The label with the most values; of several the first by name.
    fn widest(&self) -> Option<(&str, u64)> {
        let mut widest: Option<(&str, u64)> = None;
        for (name, sketch) in &self.labels {
            let values = sketch.estimate();
            if values > 1 && widest.is_none_or(|(_, most)| values > most) {
                widest = Some((name, values));
            }
        }
        widest
    }
}

impl Source {
    /// What has the most series: metric, label, values of it.
    fn most(&self) -> (String, Option<String>, u64) {
        if self.metrics.len() * 2 > self.series {
            return (String::new(), Some("__name__".to_owned()), self.metrics.len() as u64);
        }
        let largest = self
            .metrics
            .iter()
            .max_by_key(|(name, metric)| (metric.series, std::cmp::Reverse(*name)));
        match largest {
            Some((name, metric)) => named(name, Some(metric)),
            None => (String::new(), None, 0),
        }
    }
}

fn tenant_of(info: &SeriesInfo) -> Option<&str> {
    let mut labels = info.labels.iter();
    labels
        .find(|(name, _)| name == TENANT_LABEL)
        .map(|(_, tenant)| tenant.as_str())
}

fn named(name: &str, metric: Option<&Metric>) -> (String, Option<String>, u64) {
    let widest = metric.and_then(Metric::widest);
    let values = widest.map_or(0, |(_, values)| values);
    (name.to_owned(), widest.map(|(label, _)| label.to_owned()), values)
}

#[cfg(test)]
mod tests;
