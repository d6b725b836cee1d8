//! The switch that stops every action.

use super::dialog::Dialog;
use super::{Icon, Symbol};
use crate::command::{Overlay, commander};
use crate::state::live;
use leptos::prelude::*;
use wire::command::Command;

/// The state of the switch as a button that opens the question whether to turn it.
#[component]
pub(crate) fn KillSwitchState() -> impl IntoView {
    let live = live();
    let commander = commander();
    let on = move || live.status.with(|s| s.kill_switch);
    view! {
        <button
            class="chip chip--button"
            class:chip--danger=on
            data-testid="kill-switch"
            data-command="kill-switch"
            data-on=move || on().to_string()
            title=move || if on() { "Kill switch is on: nothing acts" } else { "Approved actions may run" }
            disabled=move || !live.may_operate()
            on:click=move |_| commander.overlay.set(Some(Overlay::KillSwitch))
        >
            <Icon symbol=Symbol::Power />
            {move || if on() { "Kill switch on" } else { "Actions armed" }}
        </button>
    }
}

/// Asks before the switch is turned.
#[component]
pub(crate) fn KillSwitchDialog() -> impl IntoView {
    let live = live();
    let commander = commander();
    let close = move || commander.close_overlay();
    let on = move || live.status.with(|s| s.kill_switch);
    let open = Signal::derive(move || commander.overlay.get() == Some(Overlay::KillSwitch));
    let turn = move |_| {
        live.order(Command::SetKillSwitch {
            on: !live.status.with_untracked(|s| s.kill_switch),
        });
        close();
    };
    view! {
        <Dialog
            open
            on_close=Callback::new(move |()| close())
            label="Kill switch"
            class="dialog--ask"
            testid="kill-switch-dialog"
        >
            <h2>{move || if on() { "Let actions run again?" } else { "Stop every action?" }}</h2>
            <p>
                {move || {
                    if on() {
                        "Approved actions will run again. What was refused while the switch was on stays refused."
                    } else {
                        "While the switch is on, no approved action runs. Detection, incidents and predictions go on."
                    }
                }}
            </p>
            <div class="dialog__buttons">
                <button class="button" data-testid="kill-switch-cancel" on:click=move |_| close()>
                    "Cancel"
                </button>
                <button
                    class="button"
                    class:button--danger=move || !on()
                    class:button--primary=on
                    data-testid="kill-switch-confirm"
                    autofocus
                    on:click=turn
                >
                    {move || if on() { "Turn the switch off" } else { "Stop every action" }}
                </button>
            </div>
        </Dialog>
    }
}
