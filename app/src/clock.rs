//! The browser's clocks. Nothing else in the console reads one.

/// Milliseconds since the page was opened; never jumps.
pub(crate) fn monotonic_ms() -> f64 {
    web_sys::window().and_then(|w| w.performance()).map_or(0.0, |p| p.now())
}

/// Minutes to add to UTC for the time zone of the browser at `unix_ms`: daylight saving depends on the date.
pub(crate) fn zone_offset_minutes(unix_ms: i64) -> i32 {
    let date = js_sys::Date::new(&wasm_bindgen::JsValue::from_f64(unix_ms as f64));
    -(date.get_timezone_offset() as i32)
}
