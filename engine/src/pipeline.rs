//! The loop: the one module that knows every stage.
//!
//! [`Lane`] is the whole loop up to prediction as a synchronous stepper: back-tests and scenarios in simulated time run on
//! it. [`Engine`] is the same parts spread over threads: shards own series and detect, one coordinator correlates, predicts, proposes
//! and follows orders. The coordinator is plain state without IO; what it decides is carried out around it.

mod alarm;
mod brain;
mod coordinator;
mod engine;
mod gate;
mod lane;
mod live;
mod log_watch;
mod message;
mod shard;
mod silence;

pub use brain::{Brain, BrainConfig, BrainOutput, Ids};
pub use coordinator::REPLAY_SOURCE;
pub use engine::{
    Backfill, Engine, Filled, IngestReport, Payload, Question, TakeError, Told, WriteError, WriteOutcome, Written,
    read_history,
};
pub use gate::GateOutput;
pub use lane::{EVIDENCE_SCORE, Lane, LaneConfig, LaneOutput};
