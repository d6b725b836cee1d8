//! The desktop shell's commands: the engine's handle over Tauri's IPC.
//!
//! The page calls `halo_query {query}`, `halo_command {command}` and `halo_watch {channel}`; errors come back as
//! `wire::query::ApiError`. Generic over the runtime, so that the conformance suite runs them without a window.

mod bridge;

pub use bridge::{Bridge, attach};
