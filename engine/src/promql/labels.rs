//! Labels of series in an answer: sorted, cheap to copy.

use crate::series::SeriesInfo;
use std::sync::Arc;

/// Name of the label that holds the metric.
pub(super) const NAME: &str = "__name__";

/// A label set, sorted by name; the metric is the label `__name__`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSet(Arc<Vec<(String, String)>>);

impl LabelSet {
    /// Sorts `pairs`; empty labels are none.
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.retain(|(_, value)| !value.is_empty());
        pairs.sort();
        Self(Arc::new(pairs))
    }

    /// Pairs in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Value of a label, empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        let place = self.0.binary_search_by(|(n, _)| n.as_str().cmp(name));
        place.map_or("", |place| self.0[place].1.as_str())
    }

    pub(super) fn keep(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        let kept = self.0.iter().filter(|(name, _)| keep(name));
        Self(Arc::new(kept.cloned().collect()))
    }

    pub(super) fn without_name(&self) -> Self {
        self.keep(|name| name != NAME)
    }

    /// The same with one label set, or taken out if it is empty.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = Vec::clone(&self.0);
        pairs.retain(|(n, _)| n != name);
        pairs.push((name.to_owned(), value.to_owned()));
        Self::new(pairs)
    }
}

/// The labels of a series.
pub fn labels_of_series(info: &SeriesInfo) -> LabelSet {
    let mut pairs = info.labels.clone();
    pairs.push((NAME.to_owned(), info.metric.clone()));
    LabelSet::new(pairs)
}
