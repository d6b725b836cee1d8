//! What must not teach: a series remembers what it had learnt before a mask or an incident, and goes back to it.
//!
//! A mask leaves no trace at all. An incident leaves two: its worst moment teaches the tails once, for it is one event however
//! many samples it has (declustering, Leadbetter 1983; so peaks over threshold counts exceedances), and the bar that the next
//! alert has to pass. And where a series does not come back to what it was, what it has become is how it is now.

use super::Detector;
use super::series::{NONE, Series, worsen};
use crate::detect::autoencoder::WINDOW;
use crate::detect::calibration::RAWS;
use crate::detect::joint::Standing;
use crate::detect::novelty::Known;
use crate::features::BaselineSlot;
use wire::EntityId;

/// A trouble that lasts longer is how things are.
pub(crate) const LASTING_MS: i64 = 86_400_000;
/// Further than so many standard deviations from what was expected before an incident a series has not come back.
const AWAY: f64 = 4.0;

/// What a series had learnt before.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    baseline: BaselineSlot,
    window: ([f32; WINDOW], u32),
    novelty: Known,
    standing: Standing,
    pub(super) series: Series,
    /// Greatest raw scores since then.
    worst: [f32; RAWS],
    /// Whether it is masked now, and whether it has been.
    masked: bool,
    was_masked: bool,
    /// Whether an incident touches it now.
    troubled: bool,
}

impl Kept {
    /// Takes in the raw scores of a sample; NaN where there is none.
    pub(super) fn note(&mut self, raws: [f32; RAWS]) {
        worsen(&mut self.worst, raws);
    }
}

impl Detector {
    /// Masks a series, or ends its mask. While it is masked its samples are judged as ever; afterwards baseline, season and
    /// tails are as if those samples had never come. Costs a copy of the series' state at either end, nothing in between.
    pub fn mask(&mut self, slot: usize, masked: bool) {
        if masked {
            let kept = self.keep(slot);
            (kept.masked, kept.was_masked) = (true, true);
        } else if let Some(kept) = self.kept.get_mut(&slot) {
            kept.masked = false;
            self.go_back(slot);
        }
    }

    /// An incident touches a series, or does so no longer. Meanwhile its samples are judged as ever; afterwards baseline and
    /// season are as if they had not come, and the tails have learnt the worst of them once. Where the series was hardly known,
    /// has not come back to what it was, or it took longer than a day, it stays what it has become.
    pub fn trouble(&mut self, slot: usize, troubled: bool) {
        if troubled {
            self.keep(slot).troubled = true;
        } else if let Some(kept) = self.kept.get_mut(&slot) {
            kept.troubled = false;
            self.go_back(slot);
        }
    }

    /// The series of an entity.
    pub(crate) fn slots_of(&self, entity: &EntityId) -> impl Iterator<Item = usize> + use<> {
        let slots = self.entities.slots_of(entity).to_vec();
        slots.into_iter().map(|slot| slot as usize)
    }

    /// Whether context says that a series must not teach.
    pub(super) fn is_masked(&self, slot: usize) -> bool {
        self.kept.get(&slot).is_some_and(|kept| kept.masked)
    }

    fn keep(&mut self, slot: usize) -> &mut Kept {
        let (baselines, windows, series) = (&self.baselines, &self.windows, &self.series);
        let (novelties, entities) = (&self.novelties, &self.entities);
        self.kept.entry(slot).or_insert_with(|| {
            Box::new(Kept {
                baseline: baselines.copy_out(slot),
                window: windows.copy_out(slot),
                novelty: novelties.copy_out(slot),
                standing: entities.copy_out(slot),
                series: series[slot].clone(),
                worst: NONE,
                masked: false,
                was_masked: false,
                troubled: false,
            })
        })
    }

    fn go_back(&mut self, slot: usize) {
        if self.kept.get(&slot).is_some_and(|kept| kept.masked || kept.troubled) {
            return;
        }
        let Some(kept) = self.kept.remove(&slot) else { return };
        let Kept {
            baseline,
            window,
            novelty,
            standing,
            series,
            worst,
            was_masked,
            ..
        } = *kept;
        let last = self.baselines.last(slot);
        let became = (!was_masked).then(|| {
            (
                self.baselines.copy_out(slot),
                self.expected(slot, last.unwrap_or_default().0),
            )
        });
        self.baselines.put_back(slot, baseline);
        if let (Some((now, expected)), Some((at, value))) = (became, last) {
            let before = self.expected(slot, at);
            let lasted_ms = self.baselines.last(slot).map_or(0, |(since, _)| at.millis_since(since));
            let away = |value: f64| before.is_some_and(|b| (value - b.mean).abs() > AWAY * b.scale);
            let is_young = self.baselines.seen(slot) < self.needed(slot);
            let has_moved = away(value) && expected.is_none_or(|expected| away(expected.mean));
            if is_young || has_moved || lasted_ms > LASTING_MS {
                self.baselines.put_back(slot, now);
                return;
            }
        }
        self.windows.put_back(slot, window);
        self.novelties.put_back(slot, novelty);
        self.entities.put_back(slot, standing);
        let since = std::mem::replace(&mut self.series[slot], series);
        if !was_masked {
            self.series[slot].after_trouble(&since, worst);
        }
    }
}
