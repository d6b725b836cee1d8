//! What an entity is, as far as its name tells.

use wire::EntityId;
use wire::topology::EntityKind;

/// Parts of names that give a kind away, in the order they are tried.
const HINTS: &[(EntityKind, &[&str])] = &[
    (
        EntityKind::Client,
        &["_client", "-client", "browser", "loadgen", "load-generator", "locust"],
    ),
    (
        EntityKind::Database,
        &[
            "database",
            "dynamodb",
            "postgres",
            "mysql",
            "mariadb",
            "mongo",
            "sql",
            "cassandra",
            "rds",
            "-db",
            "_db",
        ],
    ),
    (EntityKind::Cache, &["redis", "memcache", "valkey", "cache"]),
    (
        EntityKind::Queue,
        &["kafka", "rabbit", "sqs", "queue", "nats", "pubsub"],
    ),
    (
        EntityKind::External,
        &["_remote", "external", ".amazonaws.com", "https://", "http://"],
    ),
    (EntityKind::Function, &["lambda", "function"]),
];

/// What the entity most probably is. `EntityKind::Service` when the name tells nothing.
pub fn kind_of(entity: &EntityId) -> EntityKind {
    let name = entity.as_str().to_ascii_lowercase();
    if name == "db" {
        return EntityKind::Database;
    }
    HINTS
        .iter()
        .find(|(_, parts)| parts.iter().any(|part| name.contains(part)))
        .map_or(EntityKind::Service, |(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_field_tell_their_kind() {
        for (name, kind) in [
            ("checkout", EntityKind::Service),
            ("checkout_client", EntityKind::Client),
            ("orders-db", EntityKind::Database),
            ("db", EntityKind::Database),
            ("items_AWS::DynamoDB::Table", EntityKind::Database),
            ("servi-x.us-west-2.elb.amazonaws.com_remote", EntityKind::External),
            ("resize_AWS::Lambda::Function", EntityKind::Function),
            ("redis-cart", EntityKind::Cache),
            ("kafka", EntityKind::Queue),
        ] {
            assert_eq!(kind_of(&name.into()), kind, "{name}");
        }
    }
}
