//! From the engine's own types to what `wire` shows.
