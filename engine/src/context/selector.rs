//! Which series something is about.

use std::collections::BTreeSet;
use wire::EntityId;
use wire::series::{MetricClass, SeriesInfo};

/// A name in which `*` stands for any characters, also none, and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// Any text is a pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether all of `text` fits. Time: length of the pattern times length of the text at worst.
    pub fn matches(&self, text: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let text: Vec<char> = text.chars().collect();
        let (mut p, mut t) = (0, 0);
        // Where the last star stood, and how much of the text it had eaten.
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            if pattern.get(p) == Some(&'*') {
                star = Some((p, t));
                p += 1;
            } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == text[t]) {
                p += 1;
                t += 1;
            } else if let Some((at, eaten)) = star {
                star = Some((at, eaten + 1));
                p = at + 1;
                t = eaten + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|c| *c == '*')
    }
}

/// Series by entity, metric and class. An empty list is no limit, several patterns are alternatives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    pub entities: Vec<Glob>,
    pub metrics: Vec<Glob>,
    pub classes: Vec<MetricClass>,
    /// These very entities; empty: no limit.
    pub named: BTreeSet<EntityId>,
}

impl Selector {
    /// Every series.
    pub fn all() -> Self {
        Self::default()
    }

    /// The series of these very entities; every series, if there are none.
    pub fn of_entities(named: BTreeSet<EntityId>) -> Self {
        Self {
            named,
            ..Self::default()
        }
    }

    /// The series of entities that fit `pattern`.
    pub fn of_entity(pattern: &str) -> Self {
        Self {
            entities: vec![Glob::new(pattern)],
            ..Self::default()
        }
    }

    /// Whether `info` is meant.
    pub fn matches(&self, info: &SeriesInfo) -> bool {
        let fits = |globs: &[Glob], text: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(text));
        (self.named.is_empty() || self.named.contains(&info.entity))
            && (self.classes.is_empty() || self.classes.contains(&info.class))
            && fits(&self.entities, info.entity.as_str())
            && fits(&self.metrics, &info.metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("checkout*", "checkout-eu", true),
            ("*out*", "checkout-eu", true),
            ("*a*b*a", "xaybza", true),
            ("*a*b*a", "xaybz", false),
            ("p?d", "pöd", true),
            ("a[b]*", "a[b]c", true),
            ("A", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn every_given_part_must_fit() {
        let info = info_from_labels(&Labels::of("checkout", "http_requests_total", None));
        let mut selector = Selector::of_entity("check*");
        assert!(selector.matches(&info) && Selector::all().matches(&info));
        selector.classes = vec![MetricClass::Traffic];
        selector.metrics = vec![Glob::new("cpu*"), Glob::new("http_*")];
        assert!(selector.matches(&info));
        selector.named = BTreeSet::from(["cart".into()]);
        assert!(!selector.matches(&info));
        assert!(Selector::of_entities(BTreeSet::from(["checkout".into()])).matches(&info));
    }

    proptest! {
        #[test]
        fn a_pattern_made_from_a_text_fits_it(text in "[ab]{0,12}", cuts in prop::collection::vec(0usize..12, 0..4)) {
            let mut pattern = text.clone();
            for cut in cuts {
                if cut < pattern.len() {
                    pattern.replace_range(cut..=cut, "*");
                }
            }
            prop_assert!(Glob::new(&pattern).matches(&text), "{} {}", pattern, text);
        }
    }
}
