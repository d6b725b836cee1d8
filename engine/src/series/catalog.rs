//! The kind of every series, from all that is known: what the sender declares, then the company a series keeps, then its name.
//!
//! - Declared (remote-write metadata, OpenMetrics types): believed. The first declaration of a name stays: two targets that
//!   disagree would otherwise make a detector start over each minute.
//! - Family: `x_count` and `x_sum` of the same labels, or one of them beside an `x_bucket`, are a summary or a histogram. Alone
//!   they are gauges: nobody counts with `thread_count`.
//! - Name: see [`kind_by_name`].
//!
//! Pure; [`Catalog::admit`] is idempotent, so that a request that failed half-way can be sent again.

use super::Metadata;
use super::family::{Role, derived_of, family_of, role_of};
use super::kind::{kind_by_name, set_kind};
use super::metadata::MetricType;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wire::SeriesId;
use wire::series::{SeriesInfo, SeriesKind};

/// Declarations kept; further names are told by their names alone.
const MAX_TYPES: usize = 50_000;

/// Members of one family that are known.
#[derive(Clone, Copy, Debug, Default)]
struct Family {
    buckets: bool,
    count: Option<SeriesId>,
    sum: Option<SeriesId>,
    created: Option<SeriesId>,
}

/// What [`Catalog::admit`] makes of new series.
#[derive(Debug, Default)]
pub struct Typed {
    /// With their kinds, and with what is derived from their families.
    pub infos: Vec<SeriesInfo>,
    /// Earlier members of those families: their kind may be another now.
    pub reconsider: Vec<SeriesId>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Catalog {
    types: BTreeMap<String, Metadata>,
    families: HashMap<SeriesId, Family>,
}

impl Catalog {
    /// A catalog that knows what was declared before.
    pub fn with_types(types: BTreeMap<String, Metadata>) -> Self {
        Self {
            types,
            families: HashMap::new(),
        }
    }

    /// What was declared, by the name of the family.
    pub fn types(&self) -> &BTreeMap<String, Metadata> {
        &self.types
    }

    /// Takes declarations; returns whether one of them said something new.
    pub fn declare(&mut self, declared: Vec<(String, Metadata)>) -> bool {
        let mut is_news = false;
        let mut room = MAX_TYPES.saturating_sub(self.types.len());
        for (name, metadata) in declared {
            match self.types.get_mut(&name) {
                None if room > 0 => {
                    self.types.insert(name, metadata);
                    room -= 1;
                    is_news = true;
                }
                None => {}
                Some(first) if first.kind == metadata.kind => is_news |= first.complete(metadata),
                Some(first) => {
                    tracing::debug!(%name, first = ?first.kind, kind = ?metadata.kind, "two senders disagree on a type; the first is kept");
                }
            }
        }
        is_news
    }

    /// The type that was declared for a name.
    fn declared(&self, name: &str) -> Option<MetricType> {
        self.types.get(name).map(|metadata| metadata.kind)
    }

    /// Gives new series their kinds, adds what is derived from their families, and names earlier series to look at again.
    pub fn admit(&mut self, mut infos: Vec<SeriesInfo>) -> Typed {
        let mut touched: BTreeMap<SeriesId, usize> = BTreeMap::new();
        for (index, info) in infos.iter().enumerate() {
            let Some((role, _)) = role_of(info) else { continue };
            let key = family_of(info);
            let family = self.families.entry(key).or_default();
            match role {
                Role::Bucket(_) => family.buckets = true,
                Role::Count => family.count = Some(info.id),
                Role::Sum => family.sum = Some(info.id),
                Role::Created => family.created = Some(info.id),
            }
            touched.entry(key).or_insert(index);
        }
        let new: BTreeSet<SeriesId> = infos.iter().map(|info| info.id).collect();
        let (mut derived, mut reconsider) = (Vec::new(), Vec::new());
        for (key, member) in touched {
            let Some(family) = self.families.get(&key) else {
                continue;
            };
            let members = [family.count, family.sum, family.created];
            reconsider.extend(members.into_iter().flatten().filter(|id| !new.contains(id)));
            if role_of(&infos[member]).is_some_and(|(_, base)| self.is_proven(family, base)) {
                let mean = family.sum.is_some() && (family.count.is_some() || family.buckets);
                derived.extend(derived_of(&infos[member], family.buckets, mean));
            }
        }
        for info in &mut infos {
            let kind = self.kind(info);
            set_kind(info, kind);
        }
        infos.extend(derived);
        Typed { infos, reconsider }
    }

    /// The kind of a series that was admitted.
    pub fn kind(&self, info: &SeriesInfo) -> SeriesKind {
        if info.kind == SeriesKind::Derived {
            return SeriesKind::Derived;
        }
        if info.statistic.is_some() {
            return SeriesKind::Gauge;
        }
        match self.declared(&info.metric) {
            Some(MetricType::Counter) => return SeriesKind::Counter,
            Some(MetricType::Gauge | MetricType::StateSet) => return SeriesKind::Gauge,
            Some(MetricType::Info) => return SeriesKind::Annotation,
            // These name a family, whose members have suffixes.
            Some(MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary) | None => {}
        }
        let Some((role, base)) = role_of(info) else {
            return kind_by_name(info);
        };
        let family = self.families.get(&family_of(info)).copied().unwrap_or_default();
        match role {
            Role::Bucket(_) | Role::Sum if self.is_proven(&family, base) => SeriesKind::Component,
            Role::Count if self.is_proven(&family, base) => SeriesKind::Counter,
            Role::Created if self.is_proven(&family, base) || self.declared(base) == Some(MetricType::Counter) => {
                SeriesKind::Annotation
            }
            // A bucket whose family is declared to be something else.
            Role::Bucket(_) => SeriesKind::Gauge,
            _ => kind_by_name(info),
        }
    }

    /// Whether a family is a histogram or a summary, and no chance likeness of names.
    fn is_proven(&self, family: &Family, base: &str) -> bool {
        match self.declared(base) {
            Some(MetricType::Histogram | MetricType::Summary) => true,
            Some(_) => false,
            None => family.buckets || (family.count.is_some() && family.sum.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    fn info(metric: &str, le: Option<&str>) -> SeriesInfo {
        let mut pairs = vec![("__name__".to_owned(), metric.to_owned())];
        pairs.extend(le.map(|le| ("le".to_owned(), le.to_owned())));
        info_from_labels(&Labels::new(pairs))
    }

    fn kinds(typed: &Typed) -> Vec<(String, SeriesKind)> {
        let named = |info: &SeriesInfo| match &info.statistic {
            Some(statistic) => format!("{} {statistic}", info.metric),
            None => info.metric.clone(),
        };
        typed.infos.iter().map(|info| (named(info), info.kind)).collect()
    }

    #[track_caller]
    fn check(catalog: &mut Catalog, new: Vec<SeriesInfo>, expected: &[(&str, SeriesKind)]) -> Typed {
        let typed = catalog.admit(new);
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind))
            .collect();
        assert_eq!(kinds(&typed), expected);
        typed
    }

    use SeriesKind::{Annotation, Component, Counter, Derived, Gauge};

    #[test]
    fn a_histogram_is_known_by_its_parts() {
        let parts = vec![
            info("rpc_seconds_bucket", Some("0.1")),
            info("rpc_seconds_bucket", Some("+Inf")),
            info("rpc_seconds_sum", None),
            info("rpc_seconds_count", None),
            info("rpc_seconds_created", None),
        ];
        let expected = [
            ("rpc_seconds_bucket", Component),
            ("rpc_seconds_bucket", Component),
            ("rpc_seconds_sum", Component),
            ("rpc_seconds_count", Counter),
            ("rpc_seconds_created", Annotation),
            ("rpc_seconds p50", Derived),
            ("rpc_seconds p95", Derived),
            ("rpc_seconds p99", Derived),
            ("rpc_seconds mean", Derived),
        ];
        let mut catalog = Catalog::default();
        let first = check(&mut catalog, parts.clone(), &expected);
        assert!(first.reconsider.is_empty());
        check(&mut catalog, parts, &expected);
    }

    #[test]
    fn a_count_alone_is_a_gauge_until_its_sum_comes() {
        let mut catalog = Catalog::default();
        let count = info("gc_seconds_count", None);
        check(&mut catalog, vec![count.clone()], &[("gc_seconds_count", Gauge)]);
        let typed = check(
            &mut catalog,
            vec![info("gc_seconds_sum", None)],
            &[("gc_seconds_sum", Component), ("gc_seconds mean", Derived)],
        );
        assert_eq!(typed.reconsider, [count.id]);
        assert_eq!(catalog.kind(&count), Counter);
        check(
            &mut catalog,
            vec![info("thread_count", None)],
            &[("thread_count", Gauge)],
        );
        check(
            &mut catalog,
            vec![info("orders_created", None)],
            &[("orders_created", Gauge)],
        );
    }

    #[test]
    fn what_is_declared_is_believed_and_the_first_stays() {
        let mut catalog = Catalog::default();
        let declared = |name: &str, kind: MetricType| vec![(name.to_owned(), kind.into())];
        assert!(catalog.declare(declared("memory_total", MetricType::Gauge)));
        assert!(catalog.declare(declared("node_forks", MetricType::Counter)));
        assert!(catalog.declare(declared("size", MetricType::GaugeHistogram)));
        assert!(!catalog.declare(declared("node_forks", MetricType::Gauge)));
        check(
            &mut catalog,
            vec![
                info("memory_total", None),
                info("node_forks", None),
                info("size_bucket", Some("1")),
                info("requests_total", None),
            ],
            &[
                ("memory_total", Gauge),
                ("node_forks", Counter),
                ("size_bucket", Gauge),
                ("requests_total", Counter),
            ],
        );
        let again = Catalog::with_types(catalog.types().clone());
        assert_eq!(again.kind(&info("node_forks", None)), Counter);
    }

    #[test]
    fn a_description_completes_what_was_declared_without_one() {
        let mut catalog = Catalog::default();
        let mut declare = |kind, help: &str, unit: &str| {
            let news = catalog.declare(vec![("load".to_owned(), Metadata::new(kind, help, unit))]);
            let known = &catalog.types()["load"];
            (news, known.help.clone(), known.unit.clone())
        };
        let expected = |news, help: &str, unit: &str| (news, help.to_owned(), unit.to_owned());
        assert_eq!(declare(MetricType::Gauge, "", ""), expected(true, "", ""));
        assert_eq!(declare(MetricType::Gauge, "Work.", ""), expected(true, "Work.", ""));
        assert_eq!(
            declare(MetricType::Gauge, "Other.", "jobs"),
            expected(true, "Work.", "jobs")
        );
        assert_eq!(
            declare(MetricType::Gauge, "Other.", "1"),
            expected(false, "Work.", "jobs")
        );
        // Who disagrees on the type speaks of something else.
        assert_eq!(
            declare(MetricType::Counter, "Third.", ""),
            expected(false, "Work.", "jobs")
        );
    }
}
