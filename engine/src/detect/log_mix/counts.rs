//! Lines of one entity in a short time, by pattern.

/// Counts of a cell. Most cells hold few of the patterns, so those are kept as pairs, ascending by place.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub number: i64,
    pub learnt: bool,
    /// Lines in all, those of patterns that are not told apart included.
    pub lines: u32,
    counts: Vec<(u16, u32)>,
}

impl Cell {
    pub(super) fn new(number: i64) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// One more line of the pattern at `place`.
    pub(super) fn add(&mut self, place: usize) {
        self.add_many(place as u16, 1);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.lines = self.lines.saturating_add(other.lines);
        for (place, count) in &other.counts {
            self.add_many(*place, *count);
        }
    }

    /// Counts the lines of one pattern as those of another.
    pub(super) fn move_count(&mut self, from: usize, into: usize) {
        if let Ok(at) = self.counts.binary_search_by_key(&from, |(p, _)| usize::from(*p)) {
            let (_, count) = self.counts.remove(at);
            self.add_many(into as u16, count);
        }
    }

    /// Lines of the pattern at `place`.
    pub(super) fn of(&self, place: usize) -> u32 {
        let found = self.counts.binary_search_by_key(&place, |(p, _)| usize::from(*p));
        found.map_or(0, |at| self.counts[at].1)
    }

    /// The patterns that have lines, ascending by place.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.counts.iter().map(|(place, _)| usize::from(*place))
    }

    fn add_many(&mut self, place: u16, count: u32) {
        match self.counts.binary_search_by_key(&place, |(p, _)| *p) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            Err(at) => self.counts.insert(at, (place, count)),
        }
    }
}
