//! What became of what the loop said: people's verdicts beside the chances it gave and the members that voted.

use crate::evaluate::Reliability;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use wire::IncidentId;
use wire::incident::Verdict;
use wire::series::Voter;
use wire::status::{MemberRecord, ReliabilityBin, Verdicts};

/// Incidents remembered; the oldest are forgotten.
const REMEMBERED: usize = 2000;

/// Every incident that somebody judged, as it was when they did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrackRecord {
    judged: BTreeMap<IncidentId, Judged>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Judged {
    real: bool,
    chance: f32,
    voters: BTreeSet<Voter>,
}

impl TrackRecord {
    /// Somebody judged an incident; the newest verdict counts. An incident with the wrong cause is a real one.
    pub fn judge(&mut self, id: &IncidentId, verdict: Verdict, chance: f32, voters: BTreeSet<Voter>) {
        let real = match verdict {
            Verdict::Useful | Verdict::WrongCause => true,
            Verdict::FalseAlarm => false,
        };
        self.judged.insert(id.clone(), Judged { real, chance, voters });
        if self.judged.len() > REMEMBERED {
            self.judged.pop_first();
        }
    }

    /// In figures, as the console shows them.
    pub fn verdicts(&self) -> Verdicts {
        let count = |judged: &dyn Fn(&&Judged) -> bool| self.judged.values().filter(judged).count() as u64;
        let members = Voter::ALL.map(|member| MemberRecord {
            member,
            real: count(&|j| j.real && j.voters.contains(&member)),
            false_alarms: count(&|j| !j.real && j.voters.contains(&member)),
        });
        let mut reliability = Reliability::default();
        // An incident of a version that said no chance has none to be held to.
        for judged in self.judged.values().filter(|judged| judged.chance > 0.0) {
            reliability.add(f64::from(judged.chance), judged.real);
        }
        let bins = reliability.diagram().into_iter().map(|bin| ReliabilityBin {
            from: bin.from,
            to: bin.to,
            incidents: bin.count,
            said: bin.said,
            came_true: bin.came_true,
        });
        Verdicts {
            real: count(&|j| j.real),
            false_alarms: count(&|j| !j.real),
            members: members.into_iter().filter(|m| m.real + m.false_alarms > 0).collect(),
            reliability: bins.collect(),
            expected_calibration_error: reliability.expected_calibration_error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> IncidentId {
        IncidentId(format!("INC-{number:06}"))
    }

    #[test]
    fn members_and_chances_are_held_to_the_newest_verdicts() {
        let mut record = TrackRecord::default();
        assert_eq!(record.verdicts(), Verdicts::default());
        let both = BTreeSet::from([Voter::Decomposition, Voter::Novelty]);
        let one = BTreeSet::from([Voter::Decomposition]);
        record.judge(&id(1), Verdict::FalseAlarm, 0.95, both.clone());
        record.judge(&id(1), Verdict::WrongCause, 0.95, both);
        record.judge(&id(2), Verdict::FalseAlarm, 0.55, one.clone());
        record.judge(&id(3), Verdict::Useful, 0.55, one);
        let verdicts = record.verdicts();
        assert_eq!((verdicts.real, verdicts.false_alarms), (2, 1));
        let members: Vec<_> = verdicts
            .members
            .iter()
            .map(|m| (m.member, m.real, m.false_alarms))
            .collect();
        assert_eq!(members, [(Voter::Decomposition, 2, 1), (Voter::Novelty, 1, 0)]);
        let bins: Vec<_> = verdicts
            .reliability
            .iter()
            .map(|b| (b.incidents, b.came_true))
            .collect();
        assert_eq!(bins, [(2, 0.5), (1, 1.0)]);
        let error = verdicts.expected_calibration_error.unwrap();
        assert!((error - (2.0 * 0.05 + 0.05) / 3.0).abs() < 1e-6, "{error}");
        record.judge(&id(4), Verdict::Useful, 0.0, BTreeSet::new());
        let with_none = record.verdicts();
        assert_eq!((with_none.real, with_none.reliability), (3, verdicts.reliability));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<TrackRecord>(&text).unwrap(), record);
    }
}
