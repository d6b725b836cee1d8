//! Short-lived messages about what an order came to.

use leptos::prelude::*;
use std::time::Duration;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Toast {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) failed: bool,
}

/// The messages on screen.
#[derive(Clone, Copy)]
pub(crate) struct Toasts {
    pub(crate) list: RwSignal<Vec<Toast>>,
    serial: StoredValue<u64>,
}

impl Toasts {
    pub(crate) fn new() -> Self {
        Self {
            list: RwSignal::default(),
            serial: StoredValue::new(0),
        }
    }

    /// Says what was done; goes by itself.
    pub(crate) fn done(self, text: String) {
        let id = self.push(text, false);
        set_timeout(move || self.dismiss(id), Duration::from_secs(6));
    }

    /// Says what failed; stays until it is dismissed.
    pub(crate) fn failed(self, text: String) {
        self.push(text, true);
    }

    pub(crate) fn dismiss(self, id: u64) {
        self.list.update(|list| list.retain(|t| t.id != id));
    }

    fn push(self, text: String, failed: bool) -> u64 {
        self.serial.update_value(|n| *n += 1);
        let id = self.serial.get_value();
        self.list.update(|list| list.push(Toast { id, text, failed }));
        id
    }
}
