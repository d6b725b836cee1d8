//! `halo forecast DIR --horizon 30m --out OUT`: where every series of recorded history will be.
//!
//! Each forecast knows only the samples up to the row it was made at. The file in OUT depends on the input alone: the same input
//! gives the same bytes.

mod course;
pub mod score;

pub(crate) use course::{Course, usual_step};

use crate::backtest::Input;
use crate::backtest::output::{Gz, quoted};
use engine::context::Selector;
use engine::predict::{Event, ForecastConfig};
use engine::{Error, Result};
use score::Score;
use std::path::PathBuf;
use wire::Timestamp;
use wire::series::SeriesInfo;

/// Steps of a forecast at most.
const MAX_STEPS: i64 = 100_000;

/// Arguments of `halo forecast`.
///
/// One forecast a series is made, at the last row. With --train-until or --every, forecasts are made at rows all through what comes
/// after the history, and the summary says how good they were.
#[derive(Clone, Debug, clap::Args)]
pub struct ForecastArgs {
    /// Directory with metrics.csv[.gz] and, if there, expected.csv, whose spans are forecast from what spans with the same note did.
    pub dir: PathBuf,
    /// How far ahead: a number with s, m, h or d, such as 5m, 30m, 6h, 24h or 7d; at least one step of the series is forecast.
    #[arg(long, value_parser = duration)]
    pub horizon: i64,
    /// Directory to write forecast.csv.gz into (series,made_at,timestamp,mean,lower,upper); made if missing.
    #[arg(long)]
    pub out: PathBuf,
    /// Forecast at the last row before this instant (RFC 3339, epoch seconds or milliseconds) and then every --every.
    #[arg(long, value_parser = engine::ingest::csv::parse_time)]
    pub train_until: Option<Timestamp>,
    /// Time between forecasts; with --train-until alone they are made one horizon apart, so that each row is forecast once. Without
    /// --train-until, the first 15 % of the rows are history.
    #[arg(long, value_parser = duration)]
    pub every: Option<i64>,
    /// Share of the values that lie between lower and upper, 0.5 to 0.99.
    #[arg(long, default_value_t = 0.9, value_parser = level)]
    pub level: f64,
}

/// Forecasts, writes OUT, and returns the summary as text for a person.
///
/// # Errors
/// [`Error::Input`] names file, line and column of input that cannot be used; [`Error::Io`] a file that cannot be read or written.
pub fn run(args: &ForecastArgs) -> Result<String> {
    let input = Input::load(&args.dir)?;
    let times = &input.frame.times;
    let origins = origins(&input, args)?;
    let step_ms = usual_step(times);
    let steps = args.horizon.div_euclid(step_ms).max(1);
    if steps > MAX_STEPS {
        return Err(Error::Input {
            place: "--horizon".to_owned(),
            message: format!("is {steps} steps of {step_ms} ms ahead; at most {MAX_STEPS} can be forecast"),
        });
    }
    std::fs::create_dir_all(&args.out).map_err(|error| Error::io("cannot make the directory", &args.out, error))?;
    let mut file = Gz::create(args.out.join("forecast.csv.gz"))?;
    file.line("series,made_at,timestamp,mean,lower,upper")?;
    let config = ForecastConfig::new(step_ms, steps * step_ms, args.level);
    let (mut score, mut lines) = (Score::default(), 0_u64);
    for ((info, name), column) in input
        .frame
        .series
        .iter()
        .zip(&input.frame.names)
        .zip(&input.frame.columns)
    {
        let name = quoted(name);
        let mut course = Course::new(info, times, column, config, events(&input, info));
        let mut judged = score::Series::new(times, column, origins[0] + 1, step_ms);
        for &origin in &origins {
            let Some(forecaster) = course.at(origin) else { continue };
            let made_at = times[origin];
            let stamp = input.stamp.format(made_at);
            for k in 1..=steps {
                let point = forecaster.at(made_at + k * step_ms);
                judged.add(origin, &point);
                file.line(&format!(
                    "{name},{stamp},{},{},{},{}",
                    input.stamp.format(point.at),
                    number(point.mean),
                    number(point.lower),
                    number(point.upper)
                ))?;
                lines += 1;
            }
        }
        score.add(&judged);
    }
    file.finish()?;
    let (series, forecasts) = (input.frame.series.len(), origins.len());
    let mut text = format!("{series} series, {forecasts} forecasts each, {steps} steps ahead: {lines} lines\n");
    text.push_str(&score.text(args.level));
    Ok(text)
}

/// Rows at which forecasts are made, ascending; never empty.
fn origins(input: &Input, args: &ForecastArgs) -> Result<Vec<usize>> {
    let times = &input.frame.times;
    let last = times.len() - 1;
    if args.train_until.is_none() && args.every.is_none() {
        return Ok(vec![last]);
    }
    let rows = input.train_rows(args.train_until)?;
    if rows == 0 {
        return Err(Error::Input {
            place: "--train-until".to_owned(),
            message: format!(
                "is not after the first row ({}): nothing is left to learn from",
                input.stamp.format(times[0])
            ),
        });
    }
    let every = args.every.unwrap_or(args.horizon);
    let mut origins = vec![rows - 1];
    let mut due = times[rows - 1] + every;
    for (row, at) in times.iter().enumerate().skip(rows) {
        if *at >= due {
            origins.push(row);
            // A gap is no reason to catch up.
            due = due + every * (at.millis_since(due).div_euclid(every) + 1);
        }
    }
    Ok(origins)
}

/// The spans of expected.csv that concern a series; those with the same note are of one kind.
fn events(input: &Input, info: &SeriesInfo) -> Vec<Event> {
    let kind_of = |note: &str| {
        input
            .expected
            .iter()
            .position(|span| span.note == note)
            .unwrap_or_default()
    };
    let concerns = |entity: Option<&str>| entity.is_none_or(|pattern| Selector::of_entity(pattern).matches(info));
    input
        .expected
        .iter()
        .filter(|span| concerns(span.entity.as_deref()))
        .map(|span| Event {
            from: span.start,
            until: span.end,
            kind: kind_of(&span.note) as u32,
        })
        .collect()
}

/// Seven digits: more would say what nobody knows.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    // Never "-0".
    format!("{}", rounded + 0.0)
}

/// Milliseconds of text such as `30m`.
fn duration(text: &str) -> std::result::Result<i64, String> {
    const UNITS: [(&str, i64); 5] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let bad = || format!("must be a number with s, m, h or d such as 30m, got {text:?}");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (count, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    let count: i64 = count.parse().map_err(|_| bad())?;
    count
        .checked_mul(*unit_ms)
        .filter(|ms| (1..=366 * 86_400_000).contains(ms))
        .ok_or_else(|| format!("must be more than nothing and at most a year, got {text:?}"))
}

fn level(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(level) if (0.5..=0.99).contains(&level) => Ok(level),
        _ => Err(format!("must be a number from 0.5 to 0.99, got {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_a_unit() {
        assert_eq!(duration("30m"), Ok(1_800_000));
        assert_eq!(duration("7d"), Ok(604_800_000));
        assert_eq!(duration("500ms"), Ok(500));
        for bad in [
            "",
            "m",
            "30",
            "-5m",
            "1.5h",
            "30min",
            "0s",
            "999999d",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_have_seven_digits() {
        assert_eq!(number(1.0 / 3.0), "0.3333333");
        assert_eq!(number(123_456_789.0), "123456800");
        assert_eq!(number(-0.0), "0");
        assert_eq!(number(1e-12), "0.000000000001");
    }
}
