//! Shifts, special days and summer time in the batch, against one series at a time.

use super::*;

/// Steps both decompositions side by side over samples `range` of `signal`, every half hour, after all samples before them.
fn check_signal(baselines: &mut Baselines, range: std::ops::Range<i64>, signal: impl Fn(usize, i64) -> f64) {
    let n = baselines.len();
    let at = |t: i64| Timestamp(t * 30 * MINUTE);
    for slot in 0..n {
        for t in 0..range.start {
            baselines.observe(slot, at(t), signal(slot, t));
        }
    }
    let slots: Vec<usize> = (0..n).collect();
    let mut device = Decomposition::of(baselines, &slots, &Device::Cpu).unwrap();
    for t in range {
        let values: Vec<f64> = (0..n).map(|slot| signal(slot, t)).collect();
        for (slot, our) in device.step(at(t), &values).unwrap().rows().unwrap().iter().enumerate() {
            let their = baselines.observe(slot, at(t), values[slot]);
            let what = format!("series {slot}, step {t}, value {}", values[slot]);
            match (our, their) {
                (Some(our), Some(their)) => close_residuals(our, &their, &what),
                (None, None) => {}
                (our, their) => panic!("{what}: {our:?} {their:?}"),
            }
        }
    }
}

/// A day of half hours around 100, with a little noise that needs no generator.
fn daily(slot: usize, t: i64) -> f64 {
    let noise = ((t * 7919 + slot as i64 * 104_729) % 1009) as f64 / 504.5 - 1.0;
    100.0 - 20.0 * (t as f64 / 48.0 * std::f64::consts::TAU).cos() + noise
}

#[test]
fn a_believed_shift_begins_anew_alike() {
    // A step, a doubling, one that returns, one without a season; the first two begin on either side of the upload.
    let shifted = |slot: usize, t: i64| match slot {
        0 if t > 470 => daily(slot, t) + 30.0,
        1 if t > 490 => 2.0 * daily(slot, t),
        2 if (500..540).contains(&t) => daily(slot, t) + 60.0,
        3 if t > 500 => 130.0 + daily(slot, t * 48) - daily(slot, 0),
        3 => 50.0 + daily(slot, t * 48) - daily(slot, 0),
        _ if t % 11 == 3 => f64::NAN,
        _ => daily(slot, t),
    };
    let mut baselines = Baselines::default();
    for slot in 0..5 {
        baselines.add(POLARITIES[slot % 3], 30 * MINUTE);
    }
    check_signal(&mut baselines, 480..800, shifted);
}

#[test]
fn special_days_and_summer_time_count_alike() {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get("America/New_York").unwrap();
    let signal = |slot: usize, t: i64| {
        let local = jiff::Timestamp::from_millisecond(t * 30 * MINUTE)
            .unwrap()
            .to_zoned(zone.clone());
        let closing = local.day() == local.days_in_month() && (2..9).contains(&local.hour());
        let wave = daily(slot, i64::from(local.hour()) * 2 + t % 2);
        // The last series has no special days, and gaps.
        match slot {
            3 if t % 7 == 2 => f64::NAN,
            3 => wave,
            _ if closing => wave + 40.0,
            _ => wave,
        }
    };
    // 1970: the third month ends on day 90, clocks change on day 116.
    for days in [87..91, 114..118] {
        let mut baselines = Baselines::default();
        for slot in 0..4 {
            baselines.add(POLARITIES[slot % 3], 30 * MINUTE);
            baselines.set_zone(slot, &zone);
        }
        check_signal(&mut baselines, days.start * 48..days.end * 48, signal);
    }
}
