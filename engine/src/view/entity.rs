//! How an entity stands, added up from its series.

use wire::series::Health;
use wire::topology::EntityKind;
use wire::{EntityId, Timestamp};

/// What one shard knows of one entity; tallies of several shards add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityTally {
    pub health: Health,
    pub score: f32,
    pub series: u32,
    pub anomalous_series: u32,
    pub warming_series: u32,
    pub last_at: Option<Timestamp>,
}

impl EntityTally {
    /// Adds one series.
    pub fn add(&mut self, health: Health, score: f32, warming: bool, last_at: Option<Timestamp>) {
        self.merge(&Self {
            health,
            score,
            series: 1,
            anomalous_series: u32::from(health == Health::Anomalous),
            warming_series: u32::from(warming),
            last_at,
        });
    }

    /// Adds what another shard knows. An entity is silent only if nothing of it reports.
    pub fn merge(&mut self, other: &Self) {
        self.health = worse(self.health, other.health);
        self.score = self.score.max(other.score);
        self.series += other.series;
        self.anomalous_series += other.anomalous_series;
        self.warming_series += other.warming_series;
        self.last_at = self.last_at.max(other.last_at);
    }
}

/// Anomalous outranks watch, watch outranks ok; silence shows only where nothing else is known.
fn worse(a: Health, b: Health) -> Health {
    const fn rank(health: Health) -> u8 {
        match health {
            Health::Unknown => 0,
            Health::Silent => 1,
            Health::Ok => 2,
            Health::Watch => 3,
            Health::Anomalous => 4,
        }
    }
    if rank(a) >= rank(b) { a } else { b }
}

/// Words of an entity's name that give its kind away, tried in this order.
const KIND_HINTS: &[(EntityKind, &[&str])] = &[
    (EntityKind::Function, &["lambda", "stepfunctions"]),
    (
        EntityKind::Database,
        &[
            "dynamodb", "database", "rds", "pgsql", "postgres", "mysql", "mongo", "sql",
        ],
    ),
    (
        EntityKind::Queue,
        &[
            "sqs",
            "sns",
            "simplenotificationservice",
            "kafka",
            "rabbitmq",
            "queue",
            "nats",
        ],
    ),
    (EntityKind::Cache, &["redis", "memcached", "cache", "elasticache"]),
    (EntityKind::Client, &["_client"]),
    (
        EntityKind::External,
        &["_remote", "external", "aws::s3", "sts_", "systemsmanagement"],
    ),
];

/// Guesses the kind of an entity from its name, the host from the source that reports it.
pub fn entity_kind(id: &EntityId, source: &str) -> EntityKind {
    if source == "host" {
        return if id.as_str().contains('/') {
            EntityKind::Process
        } else {
            EntityKind::Host
        };
    }
    let name = id.as_str().to_lowercase();
    KIND_HINTS
        .iter()
        .find(|(_, hints)| hints.iter().any(|hint| name.contains(hint)))
        .map_or(EntityKind::Service, |(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reporting_series_keeps_an_entity_from_being_silent() {
        let mut tally = EntityTally::default();
        tally.add(Health::Silent, 0.0, false, Some(Timestamp(1)));
        assert_eq!(tally.health, Health::Silent);
        tally.add(Health::Ok, 0.1, false, Some(Timestamp(2)));
        assert_eq!(tally.health, Health::Ok);
        tally.add(Health::Anomalous, 0.9, true, None);
        assert_eq!(
            (tally.health, tally.series, tally.anomalous_series),
            (Health::Anomalous, 3, 1)
        );
        assert_eq!(tally.last_at, Some(Timestamp(2)));
    }

    #[track_caller]
    fn check(name: &str, source: &str, kind: EntityKind) {
        assert_eq!(entity_kind(&name.into(), source), kind, "{name}");
    }

    #[test]
    fn kinds_follow_names() {
        check("petInfo_AWS::DynamoDB::Table", "replay", EntityKind::Database);
        check(
            "lambdastatusupdater_AWS::Lambda::Function",
            "replay",
            EntityKind::Function,
        );
        check("PetSearch_AWS::ECS::Fargate", "replay", EntityKind::Service);
        check("PetSearch_client", "replay", EntityKind::Client);
        check("www.amazon.com_remote", "replay", EntityKind::External);
        check("web-1", "host", EntityKind::Host);
        check("web-1/postgres", "host", EntityKind::Process);
    }
}
