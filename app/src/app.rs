//! The shell and its routes.

use crate::command::{Commander, commander, follow_navigation};
use crate::component::{Chrome, Overlays};
use crate::page::{
    Approvals, Incident, Incidents, Metric, Metrics, NotFound, Notifications, Now, Sources, Topology, Wall,
};
use crate::state::Live;
use crate::state::settings::Settings;
use leptos::prelude::*;
use leptos_router::components::{Outlet, ParentRoute, Route, Router, Routes};
use leptos_router::path;

/// The console.
#[component]
pub(crate) fn App() -> impl IntoView {
    let live = Live::start();
    let settings = Settings::load();
    let commander = Commander {
        live,
        settings,
        overlay: RwSignal::new(None),
        go: RwSignal::new(None),
    };
    provide_context(live);
    provide_context(settings);
    provide_context(commander);
    commander.listen();

    view! {
        <Router>
            <Navigator />
            <Overlays />
            <Routes fallback=NotFound>
                <ParentRoute path=path!("") view=|| view! { <Chrome><Outlet /></Chrome> }>
                    <Route path=path!("") view=Now />
                    <Route path=path!("incidents") view=Incidents />
                    <Route path=path!("incidents/:id") view=Incident />
                    <Route path=path!("topology") view=Topology />
                    <Route path=path!("series") view=Metrics />
                    <Route path=path!("series/:series") view=Metric />
                    <Route path=path!("approvals") view=Approvals />
                    <Route path=path!("notifications") view=Notifications />
                    <Route path=path!("sources") view=Sources />
                </ParentRoute>
                <Route path=path!("wall") view=Wall />
            </Routes>
        </Router>
    }
}

#[component]
fn Navigator() -> impl IntoView {
    follow_navigation(commander());
}
