//! What must survive a restart: the log of samples, their history, and the database.

pub mod history;
pub mod log;
