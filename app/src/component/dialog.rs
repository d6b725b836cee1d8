//! Modal dialogs on the browser's own `<dialog>`: focus trap, Escape and backdrop come with it.

use leptos::html::Dialog as DialogElement;
use leptos::prelude::*;

/// A modal that is in the page only while `open` is true.
#[component]
pub(crate) fn Dialog(
    #[prop(into)] open: Signal<bool>,
    on_close: Callback<()>,
    label: &'static str,
    class: &'static str,
    testid: &'static str,
    children: ChildrenFn,
) -> impl IntoView {
    view! {
        <Show when=move || open.get()>
            <Modal on_close label class testid children=children.clone() />
        </Show>
    }
}

#[component]
fn Modal(
    on_close: Callback<()>,
    label: &'static str,
    class: &'static str,
    testid: &'static str,
    children: ChildrenFn,
) -> impl IntoView {
    let node = NodeRef::<DialogElement>::new();
    Effect::new(move |_| {
        if let Some(dialog) = node.get()
            && !dialog.open()
        {
            // Fails only if the element is not in the document, and then there is nothing to show.
            let _ = dialog.show_modal();
        }
    });
    view! {
        <dialog
            node_ref=node
            class=format!("dialog {class}")
            aria-label=label
            data-testid=testid
            on:close=move |_| on_close.run(())
            on:click=move |event| {
                // The dialog itself is the target only when its backdrop is pressed: its content fills it.
                let on_backdrop = node.get_untracked().is_some_and(|d| {
                    event.target().is_some_and(|t| {
                        let dialog: &web_sys::EventTarget = d.as_ref();
                        t == *dialog
                    })
                });
                if on_backdrop {
                    on_close.run(());
                }
            }
        >
            <div class="dialog__content">{children()}</div>
        </dialog>
    }
}
