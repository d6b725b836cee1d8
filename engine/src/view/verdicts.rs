//! The newest verdicts on one series, in 16 bytes each: there are as many of them as memory allows, for every series.

use super::points::Verdict;
use std::collections::VecDeque;
use wire::Timestamp;

/// Verdicts that room is made for at a time, at least.
const GROW_BY: usize = 48;

/// Levels of a member's score.
const LEVELS: u32 = 63;

/// What a [`Verdict`] is packed into.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// The lower half of its time: the upper one follows from the newest, which is less than that away.
    at: u32,
    expected: f32,
    /// The upper half of a float: a band is drawn, three digits are enough.
    half_band: u16,
    flags: u16,
    score: u8,
    /// Six bits each.
    members: [u8; 3],
}

const _: () = assert!(size_of::<Packed>() == 16, "a verdict costs 16 bytes");

/// Verdicts in order of time, the newest not more than 49 days after the oldest.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    newest: Timestamp,
    packed: VecDeque<Packed>,
}

impl Verdicts {
    /// Bytes of one.
    pub const BYTES: usize = size_of::<Packed>();

    /// Appends one that is after all others; the newest `capacity` are kept.
    pub fn push(&mut self, verdict: &Verdict, capacity: usize) {
        let surplus = (self.packed.len() + 1).saturating_sub(capacity);
        self.packed.drain(..surplus.min(self.packed.len()));
        if surplus > 1 {
            // There are more series to share with than there were.
            self.packed.shrink_to(capacity);
        }
        let reach = |at: Timestamp| verdict.at.as_millis().checked_sub(at.as_millis());
        while let Some(oldest) = self.packed.front()
            && reach(self.at(*oldest)).is_none_or(|passed| u32::try_from(passed).is_err())
        {
            self.packed.pop_front();
        }
        if self.packed.len() == self.packed.capacity() {
            // A queue that doubles its room takes up to twice what it was given.
            let more = (self.packed.len() / 4).max(GROW_BY);
            let most = capacity.saturating_sub(self.packed.len()).max(1);
            self.packed.reserve_exact(more.min(most));
        }
        self.newest = verdict.at;
        self.packed.push_back(pack(verdict));
    }

    /// Those between two times, oldest first.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Vec<Verdict> {
        let all = self.packed.iter().map(|packed| unpack(packed, self.at(*packed)));
        all.filter(|verdict| (from..=to).contains(&verdict.at)).collect()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.packed = VecDeque::new();
    }

    fn at(&self, packed: Packed) -> Timestamp {
        let passed = low(self.newest).wrapping_sub(packed.at);
        Timestamp(self.newest.as_millis() - i64::from(passed))
    }
}

fn low(at: Timestamp) -> u32 {
    (at.as_millis() & i64::from(u32::MAX)) as u32
}

fn pack(verdict: &Verdict) -> Packed {
    let mut members = 0_u32;
    for score in verdict.members {
        members = (members << 6) | ((u32::from(score) * LEVELS + 127) / 255);
    }
    let [_, first, second, third] = members.to_be_bytes();
    Packed {
        at: low(verdict.at),
        expected: verdict.expected,
        half_band: (verdict.half_band.to_bits() >> 16) as u16,
        flags: verdict.flags,
        score: verdict.score,
        members: [first, second, third],
    }
}

fn unpack(packed: &Packed, at: Timestamp) -> Verdict {
    let [first, second, third] = packed.members;
    let members = u32::from_be_bytes([0, first, second, third]);
    let member = |place: u32| ((((members >> (18 - 6 * place)) & LEVELS) * 255 + LEVELS / 2) / LEVELS) as u8;
    Verdict {
        at,
        expected: packed.expected,
        half_band: f32::from_bits(u32::from(packed.half_band) << 16),
        score: packed.score,
        members: [0, 1, 2, 3].map(member),
        flags: packed.flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(at: i64, members: [u8; 4]) -> Verdict {
        Verdict {
            at: Timestamp(at),
            expected: 3.5,
            half_band: 0.72,
            score: 200,
            members,
            flags: 0xA5A,
        }
    }

    #[test]
    fn no_baseline_stays_no_baseline() {
        let mut verdicts = Verdicts::default();
        let none = Verdict {
            half_band: -1.0,
            ..verdict(7, [0; 4])
        };
        verdicts.push(&none, 10);
        assert_eq!(verdicts.between(Timestamp(0), Timestamp(9)), [none]);
    }

    #[test]
    fn what_is_months_older_than_the_newest_is_forgotten() {
        let mut verdicts = Verdicts::default();
        let month = 30 * 86_400_000;
        for at in [0, month, 2 * month, i64::MAX] {
            verdicts.push(&verdict(at, [1; 4]), 10);
            let found = verdicts.between(Timestamp(i64::MIN), Timestamp(i64::MAX));
            let times: Vec<i64> = found.iter().map(|v| v.at.as_millis()).collect();
            let wanted: Vec<i64> = [0, month, 2 * month, i64::MAX]
                .into_iter()
                .filter(|&t| t <= at && u32::try_from(at - t).is_ok())
                .collect();
            assert_eq!(times, wanted);
        }
    }

    proptest! {
        #[test]
        fn the_newest_are_kept_as_they_were(steps in prop::collection::vec((1i64..1_000_000, any::<[u8; 4]>()), 1..200), capacity in 1usize..120) {
            let mut verdicts = Verdicts::default();
            let mut at = 1_700_000_000_000;
            let mut all = Vec::new();
            for (step, members) in steps {
                at += step;
                all.push(verdict(at, members));
                verdicts.push(&all[all.len() - 1], capacity);
                prop_assert!(verdicts.packed.capacity() <= capacity.max(GROW_BY));
            }
            let found = verdicts.between(Timestamp(i64::MIN), Timestamp(i64::MAX));
            let kept = &all[all.len().saturating_sub(capacity)..];
            prop_assert_eq!(found.len(), kept.len());
            for (one, other) in found.iter().zip(kept) {
                prop_assert_eq!((one.at, one.score, one.flags, one.expected), (other.at, other.score, other.flags, other.expected));
                prop_assert!((one.half_band - other.half_band).abs() <= other.half_band / 128.0);
                for (a, b) in one.members.iter().zip(other.members) {
                    prop_assert!(a.abs_diff(b) <= 2, "{a} was {b}");
                }
            }
        }
    }
}
