//! The week of a series: what each hour of the week adds to its hour of the day.
//!
//! What an hour adds to the day can be said only when the day is known, and the usual day is that of a whole week. So the first
//! week is gathered as it is, hour by hour, and settled half a day before it is over: less the day profile of then. From
//! there on every sample is learnt as what it adds. An hour that was missed takes the mean of the other hours of its date, for most
//! of what a week does it does to whole days.

use super::season::{Bin, DAY_MS, HOUR_MS, WEEK_BINS, WEEK_MS, day_bin, day_bin_value};

/// When the first week is settled: an evening of it is left, in which it can prove itself before the first day comes round.
pub(crate) const SETTLE_MS: i64 = WEEK_MS - DAY_MS / 2;
const HOURS: usize = 24;
/// Instants of an hour at which the day profile is asked.
const INSTANTS: i64 = 4;

/// Profile of a week, in units of the series.
#[derive(Clone, Debug, Default)]
pub(super) struct Week {
    /// By hour of the week; empty before the first sample. While it is gathered, values less the anchor; then what they add.
    pub(super) hours: Vec<Bin>,
    pub(super) gathering: Option<Gathering>,
}

/// The first week.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gathering {
    /// The first value: the long-term level goes up and down with the days of a week, and would hide them.
    pub(super) anchor: f64,
    pub(super) since: i64,
}

impl Week {
    /// A settled week.
    pub(super) fn of(hours: Vec<Bin>) -> Self {
        Self { hours, gathering: None }
    }

    pub(super) fn is_settled(&self) -> bool {
        !self.hours.is_empty() && self.gathering.is_none()
    }

    /// Begins with a first value.
    pub(super) fn begin(&mut self, at: i64, value: f64) {
        self.hours = vec![Bin::default(); WEEK_BINS];
        self.gathering = Some(Gathering {
            anchor: value,
            since: at,
        });
    }

    /// Settles the first week if it is time. `usual`: samples of an hour.
    pub(super) fn settle_at(&mut self, at: i64, day: &[Bin], usual: u16) {
        let due = |gathering: Gathering| at.saturating_sub(gathering.since) >= SETTLE_MS;
        if self.gathering.is_some_and(due) {
            settle(&mut self.hours, day, usual);
            self.gathering = None;
        }
    }
}

/// Turns the hours of a first week into what they add to `day`. `usual`: samples of an hour. O(hours).
pub(crate) fn settle(hours: &mut [Bin], day: &[Bin], usual: u16) {
    let mut of_day = [0.0; HOURS];
    for (hour, mean) in of_day.iter_mut().enumerate() {
        let instants = (0..INSTANTS).map(|i| hour as i64 * HOUR_MS + (2 * i + 1) * HOUR_MS / (2 * INSTANTS));
        let values = instants.map(|local| day_bin_value(day, day_bin(local, day.len())));
        *mean = values.sum::<f64>() / INSTANTS as f64;
    }
    let mut known: Vec<Option<f64>> = hours
        .iter()
        .enumerate()
        .map(|(i, bin)| (bin.count > 0).then(|| f64::from(bin.value) - of_day[i % HOURS]))
        .collect();
    // Dates are alike in weight, however many of their hours were seen.
    let dates: Vec<Option<f64>> = known.chunks(HOURS).map(|date| mean(date.iter().flatten())).collect();
    let middle = mean(dates.iter().flatten()).unwrap_or(0.0);
    for (date, own) in known.chunks_mut(HOURS).zip(dates) {
        date.iter_mut().for_each(|hour| *hour = hour.or(own));
    }
    for (bin, known) in hours.iter_mut().zip(known) {
        *bin = known.map_or_else(Bin::default, |known| Bin {
            value: (known - middle).clamp(-1e12, 1e12) as f32,
            count: bin.count.max(usual),
        });
    }
}

fn mean<'a>(values: impl Iterator<Item = &'a f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for value in values {
        sum += value;
        n += 1.0;
    }
    (n > 0.0).then(|| sum / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bin(value: f32) -> Bin {
        Bin { value, count: 60 }
    }

    #[test]
    fn a_week_is_split_into_days_and_what_hours_add() {
        // Monday to Friday a day of its own shape, ten less at the weekend, all around some level.
        let shape = |hour: usize| (hour % HOURS) as f32 * 0.5;
        let adds = |hour: usize| if hour / HOURS >= 5 { -10.0 } else { 0.0 };
        let mut hours: Vec<Bin> = (0..WEEK_BINS)
            .map(|hour| bin(1000.0 + shape(hour) + adds(hour)))
            .collect();
        let day: Vec<Bin> = (0..HOURS).map(|hour| bin(shape(hour) - 3.0)).collect();
        settle(&mut hours, &day, 60);
        for (hour, bin) in hours.iter().enumerate() {
            let expected = adds(hour) + 20.0 / 7.0;
            assert!(
                (bin.value - expected).abs() < 1e-3,
                "hour {hour}: {} {expected}",
                bin.value
            );
        }
    }

    #[test]
    fn a_missed_hour_is_like_its_date_and_a_missed_date_adds_nothing() {
        let mut hours: Vec<Bin> = (0..WEEK_BINS)
            .map(|hour| match hour / HOURS {
                0 if hour < 12 => Bin::default(),
                0 => bin(7.0),
                6 => Bin::default(),
                _ => bin(1.0),
            })
            .collect();
        settle(&mut hours, &[bin(0.0); HOURS], 12);
        assert!(
            hours[..HOURS].iter().all(|bin| (bin.value - 5.0).abs() < 1e-6),
            "{:?}",
            &hours[..HOURS]
        );
        assert_eq!((hours[3].count, hours[20].count), (12, 60));
        assert!(hours[6 * HOURS..].iter().all(|bin| bin.count == 0 && bin.value == 0.0));
    }
}
