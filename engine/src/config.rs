//! What a person may set, checked once.
