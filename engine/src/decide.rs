//! What should be done, and whether policy allows it. Pure: no IO, no clock.
//!
//! [`playbook`] says what can be done and when, [`policy`] whether it may be (Rego; undefined or failing means deny),
//! [`propose()`] puts the two together, and [`approve`] turns a proposal that a person has agreed to into an [`Approved`], the
//! only thing that `act` accepts.

pub mod approve;
pub mod audit;
pub mod playbook;
pub mod policy;
mod propose;

pub use approve::{ApproveError, Approved, approve};
pub use playbook::Playbook;
pub use policy::{PolicyEngine, PolicyInput};
pub use propose::{Situation, plan_hash, propose};
