//! One series of a recording, forecast at one row after the other.

use engine::predict::limits::capacity;
use engine::predict::{Event, ForecastConfig, Forecaster};
use wire::Timestamp;
use wire::series::SeriesInfo;

/// How much of the past is learnt from.
const PAST_MS: i64 = 28 * 86_400_000;
const PAST_ROWS: usize = 100_000;
/// After this part more of samples the weights are fitted anew; in between the state is followed.
const GROWN: usize = 50;

/// A series and the forecaster that has seen it up to a row.
pub(crate) struct Course<'a> {
    info: &'a SeriesInfo,
    times: &'a [Timestamp],
    values: &'a [f64],
    config: ForecastConfig,
    events: Vec<Event>,
    fitted: Option<Forecaster>,
    /// Rows it has seen, and how many samples it was fitted to and has seen since.
    rows: usize,
    learnt: usize,
    since: usize,
}

impl<'a> Course<'a> {
    pub(crate) fn new(
        info: &'a SeriesInfo,
        times: &'a [Timestamp],
        values: &'a [f64],
        config: ForecastConfig,
        events: Vec<Event>,
    ) -> Self {
        Self {
            info,
            times,
            values,
            config,
            events,
            fitted: None,
            rows: 0,
            learnt: 0,
            since: 0,
        }
    }

    /// The forecaster that knows the rows up to `origin`, that included, and nothing else. Rows are asked for in ascending order.
    /// `None` where no sample has come yet.
    pub(crate) fn at(&mut self, origin: usize) -> Option<&Forecaster> {
        let seen = origin + 1;
        if let Some(fitted) = &mut self.fitted {
            for row in self.rows..seen {
                fitted.observe(self.times[row], self.values[row]);
                self.since += usize::from(self.values[row].is_finite());
            }
        }
        self.rows = seen;
        if self.fitted.is_none() || self.since * GROWN > self.learnt {
            self.fit();
        }
        self.fitted.as_ref()
    }

    fn fit(&mut self) {
        let newest = self.times[self.rows - 1];
        let first = self.times[..self.rows].partition_point(|at| newest.millis_since(*at) > PAST_MS);
        let first = first.max(self.rows.saturating_sub(PAST_ROWS));
        let rows: Vec<(Timestamp, f64)> = self.times[first..self.rows]
            .iter()
            .zip(&self.values[first..self.rows])
            .filter(|(_, value)| value.is_finite())
            .map(|(at, value)| (*at, *value))
            .collect();
        let usual = rows.last().map_or(0.0, |row| row.1);
        let config = self.config.bounded(&rows, capacity(self.info, usual));
        self.fitted = Forecaster::fit(&rows, &config, &self.events).or(self.fitted.take());
        (self.learnt, self.since) = (rows.len(), 0);
    }
}

/// The median time between rows, at least a millisecond; a minute where there is one row.
pub(crate) fn usual_step(times: &[Timestamp]) -> i64 {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1].millis_since(pair[0])).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(60_000).max(1)
}
