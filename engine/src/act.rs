//! Doing it, once a person has approved exactly this plan.
