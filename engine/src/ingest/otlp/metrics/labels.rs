//! The labels of a series: which they are, and the id that follows from them without building them.

use super::super::resource::{Pairs, Target};
use crate::ingest::prometheus::Limits;
use crate::series::{IdentityHasher, Labels};
use wire::SeriesId;

/// The labels of a point, sorted, without the name: its attributes beside those of its sender. Two attributes that are
/// spelled the same become one with both values, as Prometheus has it.
pub(super) fn of_point(limits: &Limits, target: &Target, mut attributes: Pairs) -> Result<Pairs, &'static str> {
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    attributes.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1.push(';');
            kept.1.push_str(&next.1);
        }
        is_same
    });
    let is_own = |name: &str, pairs: &Pairs| pairs.iter().any(|(other, _)| other == name);
    attributes.retain(|(name, _)| !is_own(name, &target.identity) && name != "__name__");
    let promoted = target.promoted.iter();
    let promoted: Vec<_> = promoted
        .filter(|(name, _)| !is_own(name, &attributes))
        .cloned()
        .collect();
    attributes.extend(promoted);
    attributes.extend(target.identity.iter().cloned());
    // An empty label is no label.
    attributes.retain(|(_, value)| !value.is_empty());
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    // A sender that names itself twice.
    attributes.dedup_by(|next, kept| next.0 == kept.0);
    if attributes.len() + 2 > limits.max_labels {
        return Err("the series has too many labels");
    }
    for (name, value) in &attributes {
        if name.len() > limits.max_label_name_bytes {
            return Err("a label's name is too long");
        }
        if value.len() > limits.max_label_value_bytes {
            return Err("a label's value is too long");
        }
    }
    Ok(attributes)
}

/// The id of the series with this name, `labels` (sorted) and one more; the latter two replace a label of their name.
pub(super) fn identify(
    hasher: &mut IdentityHasher,
    name: &str,
    extra: Option<(&str, &str)>,
    labels: &Pairs,
) -> SeriesId {
    hasher.clear();
    let mut added = [Some(("__name__", name)), extra];
    added.sort_by_key(|pair| pair.map(|(name, _)| name));
    let mut added = added.into_iter().flatten().peekable();
    for (label, value) in labels {
        while let Some((name, value)) = added.next_if(|(name, _)| *name < label.as_str()) {
            hasher.label(name.as_bytes(), value.as_bytes());
        }
        if added.peek().is_none_or(|(name, _)| *name != label.as_str()) {
            hasher.label(label.as_bytes(), value.as_bytes());
        }
    }
    for (name, value) in added {
        hasher.label(name.as_bytes(), value.as_bytes());
    }
    hasher.finish()
}

/// Labels of which the last one named `extra` stays.
pub(super) fn sorted(mut pairs: Pairs, extra: Option<&str>) -> Labels {
    if let Some(extra) = extra {
        let last = pairs.iter().rposition(|(name, _)| name == extra);
        let mut index = 0;
        pairs.retain(|(name, _)| {
            let keep = name != extra || Some(index) == last;
            index += 1;
            keep
        });
    }
    Labels::new(pairs)
}
