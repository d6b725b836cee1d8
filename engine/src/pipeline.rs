//! The loop: the one module that knows every stage.
