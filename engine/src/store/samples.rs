//! Samples of one series in order of time, in as few bytes as they need: while they come at one interval, as most do, their times
//! are where they begin and how far apart they are.

use wire::Timestamp;

/// Samples that room is made for at a time: twice as much as before, as vectors grow, is most of what a series would take.
const GROW_BY: usize = 32;

/// Samples sorted by time, no two of one time.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    times: Times,
    values: Vec<f64>,
}

#[derive(Clone, Debug)]
enum Times {
    /// Of as many as there are values; what is said of the first is meaningless without one, the step without two.
    Even { first: i64, step_ms: i64 },
    /// Of each.
    Each(Vec<i64>),
}

impl Samples {
    pub(super) const fn new() -> Self {
        Self {
            times: Times::Even { first: 0, step_ms: 0 },
            values: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// When the sample at `place` was.
    fn at(&self, place: usize) -> i64 {
        match &self.times {
            // The product is that of a time that was taken in.
            Times::Even { first, step_ms } => first + step_ms * place as i64,
            Times::Each(times) => times[place],
        }
    }

    /// # Panics
    /// If there is none at `place`.
    pub(super) fn get(&self, place: usize) -> (Timestamp, f64) {
        (Timestamp(self.at(place)), self.values[place])
    }

    pub(super) fn last(&self) -> Option<(Timestamp, f64)> {
        self.len().checked_sub(1).map(|place| self.get(place))
    }

    /// Where the sample of a time is, or would be. O(log samples).
    pub(super) fn search(&self, at: Timestamp) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            match self.at(middle).cmp(&at.as_millis()) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    /// Adds one that is after all others.
    pub(super) fn push(&mut self, at: Timestamp, value: f64) {
        let at = at.as_millis();
        let count = self.values.len();
        if let Times::Even { first, step_ms } = &mut self.times {
            match count {
                0 => *first = at,
                1 => match at.checked_sub(*first) {
                    Some(step) => *step_ms = step,
                    None => self.part(),
                },
                _ => {
                    let next = step_ms
                        .checked_mul(count as i64)
                        .and_then(|past| first.checked_add(past));
                    if next != Some(at) {
                        self.part();
                    }
                }
            }
        }
        if let Times::Each(times) = &mut self.times {
            grow(times);
            times.push(at);
        }
        grow(&mut self.values);
        self.values.push(value);
    }

    /// Adds one between the others.
    pub(super) fn insert(&mut self, place: usize, at: Timestamp, value: f64) {
        self.part();
        if let Times::Each(times) = &mut self.times {
            grow(times);
            times.insert(place, at.as_millis());
        }
        grow(&mut self.values);
        self.values.insert(place, value);
    }

    /// Forgets the oldest `count`, and the room they took.
    pub(super) fn forget(&mut self, count: usize) {
        let next = (count < self.len()).then(|| self.at(count));
        match &mut self.times {
            Times::Even { first, .. } => *first = next.unwrap_or_default(),
            Times::Each(times) => {
                times.drain(..count);
                self.times = even(times).unwrap_or_else(|| Times::Each(times.as_slice().into()));
            }
        }
        self.values.drain(..count);
        self.values.shrink_to_fit();
    }

    /// Those from one place to before another.
    ///
    /// # Panics
    /// If there are not so many.
    pub(super) fn part_of(&self, from: usize, to: usize) -> Vec<(Timestamp, f64)> {
        (from..to).map(|place| self.get(place)).collect()
    }

    /// Says the time of each.
    fn part(&mut self) {
        if let Times::Even { first, step_ms } = self.times {
            let mut times = Vec::with_capacity(self.values.capacity());
            times.extend((0..self.values.len() as i64).map(|place| first + step_ms * place));
            self.times = Times::Each(times);
        }
    }
}

fn even(times: &[i64]) -> Option<Times> {
    let first = times.first().copied().unwrap_or_default();
    let step_ms = match times {
        [first, second, ..] => second.checked_sub(*first)?,
        _ => 0,
    };
    let is_even = times
        .windows(2)
        .all(|pair| pair[1].checked_sub(pair[0]) == Some(step_ms));
    is_even.then_some(Times::Even { first, step_ms })
}

fn grow<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(GROW_BY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(times: &[i64]) -> Samples {
        let mut samples = Samples::new();
        for &at in times {
            samples.push(Timestamp(at), at as f64);
        }
        samples
    }

    #[test]
    fn an_interval_needs_no_times_until_it_changes_and_again_once_that_is_forgotten() {
        let mut samples = of(&[5, 15, 25, 35]);
        assert!(matches!(samples.times, Times::Even { first: 5, step_ms: 10 }));
        samples.push(Timestamp(46), 46.0);
        assert!(matches!(samples.times, Times::Each(_)));
        samples.push(Timestamp(56), 56.0);
        samples.forget(4);
        assert!(matches!(samples.times, Times::Even { first: 46, step_ms: 10 }));
        assert_eq!(samples.part_of(0, 2), [(Timestamp(46), 46.0), (Timestamp(56), 56.0)]);
        samples.forget(2);
        assert_eq!((samples.len(), samples.last()), (0, None));
    }

    #[test]
    fn times_too_far_apart_to_subtract_are_kept_as_they_are() {
        let far = [i64::MIN, i64::MAX - 1, i64::MAX];
        for times in [far, [0, i64::MAX / 2, i64::MAX]] {
            let samples = of(&times);
            assert_eq!([0, 1, 2].map(|place| samples.at(place)), times);
        }
    }

    proptest! {
        #[test]
        fn they_are_what_a_sorted_vector_would_be(moves in prop::collection::vec((0u8..5, 0i64..60), 0..200)) {
            let mut samples = Samples::new();
            let mut plain: Vec<(Timestamp, f64)> = Vec::new();
            for (kind, number) in moves {
                let newest = plain.last().map_or(0, |(at, _)| at.as_millis());
                match kind {
                    // Even steps are what comes most.
                    0..=2 => {
                        samples.push(Timestamp(newest + 10), number as f64);
                        plain.push((Timestamp(newest + 10), number as f64));
                    }
                    3 => {
                        let at = Timestamp((newest - number).max(0));
                        let found = plain.binary_search_by_key(&at, |(at, _)| *at);
                        prop_assert_eq!(samples.search(at), found);
                        if let Err(place) = found {
                            samples.insert(place, at, number as f64);
                            plain.insert(place, (at, number as f64));
                        }
                    }
                    _ => {
                        let count = plain.len().min(number as usize / 4);
                        samples.forget(count);
                        plain.drain(..count);
                    }
                }
                prop_assert_eq!(samples.last(), plain.last().copied());
                prop_assert_eq!(&samples.part_of(0, samples.len()), &plain);
            }
        }
    }
}
