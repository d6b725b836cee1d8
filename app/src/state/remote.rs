//! Details fetched by query, kept on screen while they are refreshed.

use super::live;
use leptos::prelude::*;
use wire::query::{ApiError, Query, Reply};

/// A fetched thing: `data` stays while a newer answer to the same question is on its way.
pub(crate) struct Remote<T: Send + Sync + 'static> {
    pub(crate) data: RwSignal<Option<T>>,
    pub(crate) error: RwSignal<Option<ApiError>>,
}

impl<T: Send + Sync + 'static> Clone for Remote<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Remote<T> {}

/// A part of what was fetched, which changes only when it does.
pub(crate) fn slice<D, T>(data: Memo<Option<D>>, pick: fn(&D) -> Vec<T>) -> Memo<Vec<T>>
where
    D: Send + Sync + 'static,
    T: Clone + PartialEq + Send + Sync + 'static,
{
    Memo::new(move |_| data.with(|data| data.as_ref().map(pick).unwrap_or_default()))
}

/// Asks `query` whenever it or `version` changes. A changed query clears the data first; a changed version does not.
/// Answers to superseded questions are dropped. While one request is out, newer versions wait for its end.
pub(crate) fn remote<T: Send + Sync + 'static>(
    query: impl Fn() -> Option<Query> + Send + Sync + 'static,
    version: impl Fn() -> u64 + Send + Sync + 'static,
    pick: fn(Reply) -> Option<T>,
) -> Remote<T> {
    let live = live();
    let remote = Remote {
        data: RwSignal::new(None),
        error: RwSignal::new(None),
    };
    let query = Memo::new(move |_| query());
    let version = Memo::new(move |_| (version(), live.epoch.get()));
    let serial = StoredValue::new(0_u64);
    let busy = RwSignal::new(false);
    let asked = StoredValue::new(None::<(Option<Query>, (u64, u64))>);
    Effect::new(move |_| {
        let wanted = (query.get(), version.get());
        let busy_now = busy.get();
        let (same_query, same) = asked.with_value(|asked| {
            (
                asked.as_ref().is_some_and(|a| a.0 == wanted.0),
                asked.as_ref() == Some(&wanted),
            )
        });
        if same || (same_query && busy_now) {
            return;
        }
        if !same_query {
            remote.data.set(None);
            remote.error.set(None);
        }
        asked.set_value(Some(wanted.clone()));
        serial.update_value(|n| *n += 1);
        let mine = serial.get_value();
        let Some(question) = wanted.0 else { return };
        busy.set(true);
        leptos::task::spawn_local(async move {
            let answer = live.transport.query(&question).await;
            // The page may be gone, or another question asked.
            if serial.try_get_value() != Some(mine) {
                return;
            }
            match answer {
                Ok(reply) => {
                    remote.data.set(pick(reply));
                    remote.error.set(None);
                }
                Err(error) => remote.error.set(Some(error)),
            }
            busy.set(false);
        });
    });
    remote
}
