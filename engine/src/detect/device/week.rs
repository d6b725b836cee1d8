//! First weeks of many series, as `features::week` does to one.

use super::columns::{column, singles};
use super::season::{Bin, Profiles};
use crate::features::season::Bin as OneBin;
use crate::features::week::{SETTLE_MS, settle};
use candle_core::{Device, Result, Tensor};

impl Profiles {
    /// Settles the first weeks that are over, where `learns` is 1, and says when the next one is. `usual`:
    /// samples of an hour. Done on the CPU: it happens once to a series.
    pub(super) fn settle(&mut self, now: f64, learns: &Tensor, usual: &Tensor, device: &Device) -> Result<f64> {
        let (mut gathering, mut settled) = (self.gathering.to_vec1::<f64>()?, self.settled.to_vec1::<f64>()?);
        let (since, learns) = (self.since.to_vec1::<f64>()?, learns.to_vec1::<u8>()?);
        let due = |i: usize| since[i] + SETTLE_MS as f64;
        let over: Vec<usize> = (0..since.len())
            .filter(|&i| gathering[i] > 0.0 && learns[i] == 1 && due(i) <= now)
            .collect();
        if !over.is_empty() {
            let (days, mut weeks) = (down(&self.day)?, down(&self.week)?);
            let usual = usual.to_vec1::<f64>()?;
            for &i in &over {
                let of = |bins: &[(Vec<f32>, Vec<f64>)]| -> Vec<OneBin> {
                    let one = |(values, counts): &(Vec<f32>, Vec<f64>)| OneBin {
                        value: values[i],
                        count: counts[i] as u16,
                    };
                    bins.iter().map(one).collect()
                };
                let mut hours = of(&weeks);
                settle(&mut hours, &of(&days), usual[i] as u16);
                for ((values, counts), bin) in weeks.iter_mut().zip(hours) {
                    (values[i], counts[i]) = (bin.value, f64::from(bin.count));
                }
                (gathering[i], settled[i]) = (0.0, 1.0);
            }
            self.week = up(weeks, device)?;
        }
        let next = (0..since.len()).filter(|&i| gathering[i] > 0.0).map(due);
        let next = next.fold(f64::INFINITY, f64::min);
        self.gathering = column(gathering, device)?;
        self.settled = column(settled, device)?;
        Ok(next)
    }
}

/// Bins on a device, from values and counts by series.
pub(super) fn up(bins: Vec<(Vec<f32>, Vec<f64>)>, device: &Device) -> Result<Vec<Bin>> {
    let up = |(value, count)| {
        Ok(Bin {
            value: singles(value, device)?,
            count: column(count, device)?,
        })
    };
    bins.into_iter().map(up).collect()
}

fn down(bins: &[Bin]) -> Result<Vec<(Vec<f32>, Vec<f64>)>> {
    let down = |bin: &Bin| Ok((bin.value.to_vec1()?, bin.count.to_vec1()?));
    bins.iter().map(down).collect()
}
