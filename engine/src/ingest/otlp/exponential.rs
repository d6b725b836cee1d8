//! An exponential histogram as a classic one: that of OTLP, and the native one of Prometheus, which is the same with its buckets
//! counted from 1 instead of 0.
//!
//! Bucket `i` of scale `s` holds what is above `b^i` and at most `b^(i+1)`, with `b = 2^(2^-s)`; halving the resolution joins two
//! neighbours, so counts stay exact. A classic histogram is only comparable with one of the same bounds, and senders
//! change theirs all the time: they choose the finest scale that fits their data. So the resolution is at most [`MAX_SCALE`], at which
//! every finer sender lands on the same bounds, and bounds once used stay ([`Classic::new`] asks which those are).
//!
//! At [`MAX_SCALE`] a bound is 19 % above the one below, which bounds the error of a quantile. O(buckets); at most
//! [`MAX_BUCKETS`] for each sign, whatever is sent.

/// Finest resolution: four buckets for every doubling.
const MAX_SCALE: i32 = 2;

/// Coarsest: below this a bucket spans all of f64.
const MIN_SCALE: i32 = -11;

/// Buckets for each sign. More are joined.
const MAX_BUCKETS: i64 = 160;

/// Buckets that hold something, by ascending index, with their counts: above 0, finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::ingest) struct Buckets(Vec<(i64, f64)>);

impl Buckets {
    /// The buckets at consecutive indices from `first` on.
    pub(in crate::ingest) fn dense(first: i32, counts: impl IntoIterator<Item = f64>) -> Self {
        Self::sparse((i64::from(first)..).zip(counts))
    }

    /// Buckets by ascending index.
    pub(in crate::ingest) fn sparse(buckets: impl IntoIterator<Item = (i64, f64)>) -> Self {
        let holding = |(_, count): &(i64, f64)| *count > 0.0 && count.is_finite();
        Self(buckets.into_iter().filter(holding).collect())
    }
}

/// A data point as sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::ingest) struct Exponential {
    pub(in crate::ingest) scale: i32,
    pub(in crate::ingest) zero_count: f64,
    /// Whatever is as close to 0 is in `zero_count`.
    pub(in crate::ingest) zero_threshold: f64,
    pub(in crate::ingest) positive: Buckets,
    pub(in crate::ingest) negative: Buckets,
}

/// Bounds with the number of observations up to each, ascending, without the infinite one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::ingest) struct Classic(pub(in crate::ingest) Vec<(f64, f64)>);

/// Counts at a chosen scale: of the bucket with index `first`, and those after it.
#[derive(Clone, Debug, Default)]
struct Run {
    first: i64,
    counts: Vec<f64>,
}

impl Run {
    /// Joins buckets until the scale is `scale`; empty ones at the ends are left out.
    fn at_scale(buckets: &Buckets, from: i32, scale: i32) -> Self {
        let shift = (from - scale).clamp(0, 62) as u32;
        let mut run = Self::default();
        for (index, count) in &buckets.0 {
            let index = index >> shift;
            if run.counts.is_empty() {
                run.first = index;
            }
            // Indices only grow, and the caller has made sure that they do not grow far.
            let at = (index - run.first) as usize;
            run.counts.resize((at + 1).max(run.counts.len()), 0.0);
            run.counts[at] += count;
        }
        run
    }

    fn end(&self) -> i64 {
        self.first + self.counts.len() as i64
    }
}

/// The first and the last bucket that holds something, at the scale sent.
fn span(buckets: &Buckets) -> Option<(i64, i64)> {
    Some((buckets.0.first()?.0, buckets.0.last()?.0))
}

/// The finest scale at which the buckets are few enough, and their bounds are numbers.
fn scale_for(sent: &Exponential) -> i32 {
    let mut scale = sent.scale.min(MAX_SCALE);
    let spans = [span(&sent.positive), span(&sent.negative)];
    let fits = |scale: i32| {
        let shift = (sent.scale - scale).clamp(0, 62) as u32;
        spans.iter().flatten().all(|(first, last)| {
            let (first, last) = (first >> shift, last >> shift);
            last - first < MAX_BUCKETS && bound(last + 1, scale).is_finite()
        })
    };
    while scale > MIN_SCALE && !fits(scale) {
        scale -= 1;
    }
    scale
}

/// `b^index`, exact where it is a power of two.
fn bound(index: i64, scale: i32) -> f64 {
    (index as f64 * f64::from(-scale).exp2()).exp2()
}

impl Classic {
    /// The classic histogram of a data point. `in_use` says whether this series already has a bucket of a bound; such bounds
    /// are kept where they continue the run, though nothing may lie there (any more).
    pub(in crate::ingest) fn new(sent: &Exponential, in_use: impl Fn(f64) -> bool) -> Self {
        let scale = scale_for(sent);
        let positive = Run::at_scale(&sent.positive, sent.scale, scale);
        let negative = Run::at_scale(&sent.negative, sent.scale, scale);
        let mut bounds = Vec::new();
        let mut below = 0.0;
        // From the most negative up: bucket i spans -b^(i+1) to -b^i.
        if !negative.counts.is_empty() {
            for (place, count) in negative.counts.iter().enumerate().rev() {
                below += count;
                bounds.push((-bound(negative.first + place as i64, scale), below));
            }
            bounds.push((sent.zero_threshold.max(0.0), below + sent.zero_count));
        }
        below += sent.zero_count;
        if !positive.counts.is_empty() {
            // The lower bound of the lowest bucket, else it would seem to begin at 0.
            let mut lowest = positive.first;
            let limit = positive.first - MAX_BUCKETS;
            while lowest > limit && in_use(bound(lowest - 1, scale)) {
                lowest -= 1;
            }
            bounds.extend((lowest..=positive.first).map(|index| (bound(index, scale), below)));
            for (place, count) in positive.counts.iter().enumerate() {
                below += count;
                bounds.push((bound(positive.first + place as i64 + 1, scale), below));
            }
            let mut highest = positive.end();
            while highest < positive.end() + MAX_BUCKETS && in_use(bound(highest + 1, scale)) {
                highest += 1;
                bounds.push((bound(highest, scale), below));
            }
        }
        bounds.retain(|(bound, _)| bound.is_finite());
        // What is too small for a number is 0, from either side.
        bounds.iter_mut().for_each(|(bound, _)| *bound += 0.0);
        // A threshold above the first bounds would stand in the wrong place.
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        bounds.dedup_by(|next, kept| {
            let is_same = next.0.to_bits() == kept.0.to_bits();
            kept.1 = if is_same { kept.1.max(next.1) } else { kept.1 };
            is_same
        });
        let mut highest = 0.0f64;
        for (_, count) in &mut bounds {
            highest = highest.max(*count);
            *count = highest;
        }
        Self(bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::quantile;
    use proptest::prelude::*;

    /// What a sender does with observations at a scale.
    fn observed(values: &[f64], scale: i32) -> Exponential {
        let mut sent = Exponential {
            scale,
            ..Exponential::default()
        };
        let mut sides: [std::collections::BTreeMap<i32, u64>; 2] = Default::default();
        for value in values {
            if *value == 0.0 {
                sent.zero_count += 1.0;
                continue;
            }
            // ceil(log_b(x)) - 1
            let index = (value.abs().log2() * f64::from(scale).exp2()).ceil() as i32 - 1;
            *sides[usize::from(*value < 0.0)].entry(index).or_default() += 1;
        }
        let buckets = |side: &std::collections::BTreeMap<i32, u64>| match side.first_key_value() {
            None => Buckets::default(),
            Some((first, _)) => {
                let last = side.last_key_value().map_or(*first, |(last, _)| *last);
                let count = |index| side.get(&index).copied().unwrap_or(0) as f64;
                Buckets::dense(*first, (*first..=last).map(count))
            }
        };
        sent.positive = buckets(&sides[0]);
        sent.negative = buckets(&sides[1]);
        sent
    }

    #[test]
    fn one_bucket_has_the_bounds_of_the_specification() {
        // Scale 0, index 2: above 4, at most 8.
        let sent = observed(&[5.0, 8.0], 0);
        assert_eq!(Classic::new(&sent, |_| false).0, [(4.0, 0.0), (8.0, 2.0)]);
        let finer = observed(&[5.0, 8.0], 20);
        let bounds = Classic::new(&finer, |_| false).0;
        let step = 0.25f64.exp2();
        let expected =
            [(1, 0.0), (2, 1.0), (3, 1.0), (4, 2.0)].map(|(power, below): (i32, f64)| (4.0 * step.powi(power), below));
        assert_eq!(bounds.len(), 4, "{bounds:?}");
        for ((bound, count), (expected, below)) in bounds.iter().zip(expected) {
            assert!(
                (bound / expected - 1.0).abs() < 1e-12 && (count - below).abs() < 1e-9,
                "{bounds:?}"
            );
        }
    }

    #[test]
    fn zeros_and_negatives_are_below() {
        let sent = observed(&[-3.0, -1.5, 0.0, 0.0, 1.5], 0);
        assert_eq!(
            Classic::new(&sent, |_| false).0,
            [(-2.0, 1.0), (-1.0, 2.0), (0.0, 4.0), (1.0, 4.0), (2.0, 5.0)]
        );
        // Bounds too small for a number are 0 on both sides.
        let tiny = Buckets::dense(-1080, [1.0]);
        let both = Exponential {
            positive: tiny.clone(),
            negative: tiny,
            ..Exponential::default()
        };
        assert_eq!(Classic::new(&both, |_| false).0, [(0.0, 2.0)]);
        let only_zeros = observed(&[0.0], 3);
        assert_eq!(Classic::new(&only_zeros, |_| false).0, []);
    }

    #[test]
    fn bounds_in_use_are_kept() {
        let wide = Classic::new(&observed(&[1.0, 64.0], 0), |_| false);
        let known: Vec<f64> = wide.0.iter().map(|(bound, _)| *bound).collect();
        let narrow = Classic::new(&observed(&[8.0], 0), |bound| known.contains(&bound));
        let bounds: Vec<f64> = narrow.0.iter().map(|(bound, _)| *bound).collect();
        assert_eq!(bounds, known);
        assert_eq!(narrow.0[3..5], [(4.0, 0.0), (8.0, 1.0)]);
        assert_eq!(narrow.0.last(), Some(&(64.0, 1.0)));
    }

    proptest! {
        /// The quantile of the classic form is as far from the true one as a bucket is wide.
        #[test]
        fn quantiles_survive(values in prop::collection::vec(1e-4f64..1e6, 50..400), scale in 2i32..=20, q in 0.05f64..0.99) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let classic = Classic::new(&observed(&values, scale), |_| false);
            let total = values.len() as f64;
            let mut buckets: Vec<(f64, f64)> = classic.0.clone();
            prop_assert!(buckets.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1));
            buckets.push((f64::INFINITY, total));
            let found = quantile(q, &mut buckets).unwrap();
            let rank = (q * total).ceil().clamp(1.0, total) as usize - 1;
            let truth = sorted[rank];
            prop_assert!((found / truth).ln().abs() < 0.25f64.exp2().ln() * 1.01, "{} {}", found, truth);
        }

        #[test]
        fn nothing_that_is_sent_breaks_it(
            scale in any::<i32>(), offset in any::<i32>(), counts in prop::collection::vec(any::<u64>(), 0..300),
            zero in any::<u64>(), zero_threshold in any::<f64>(), negative in any::<bool>(),
        ) {
            let buckets = Buckets::dense(offset, counts.into_iter().map(|count| count as f64));
            let (positive, negative) = if negative { (buckets.clone(), buckets) } else { (buckets, Buckets::default()) };
            let sent = Exponential { scale, zero_count: zero as f64, zero_threshold, positive, negative };
            let classic = Classic::new(&sent, |_| true);
            prop_assert!(classic.0.len() <= 4 * MAX_BUCKETS as usize + 4);
            prop_assert!(classic.0.iter().all(|(bound, _)| bound.is_finite()));
            prop_assert!(classic.0.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1));
        }
    }
}
