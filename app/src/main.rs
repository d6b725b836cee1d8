//! Halo's console.
//!
//! Read in this order: [`transport`] is the only way in and out; [`state`] keeps the live copy of the engine's state and
//! fetches details; [`command`] names everything a person can order; [`app`] holds the routes; [`page`] has one file a
//! route, built of [`component`]s; [`canvas`] gives the drawings of crate `chart` a surface.

#![expect(
    unreachable_pub,
    reason = "leptos makes the functions and properties of components public"
)]

mod app;
mod canvas;
mod clock;
mod command;
mod component;
mod format;
mod page;
mod state;
mod transport;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(app::App);
}
