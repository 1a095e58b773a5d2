//! Logs on the browser's console.

use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU8, Ordering},
};

use tracing::{Level, Metadata, Subscriber, field, span};
use wasm_bindgen::prelude::*;

use crate::runtime::worth_a_line;

const LEVELS: [(&str, u8); 6] = [("off", 0), ("error", 1), ("warn", 2), ("info", 3), ("debug", 4), ("trace", 5)];

static LEVEL: AtomicU8 = AtomicU8::new(2);

pub(super) fn install() {
    // It fails only if there is one already, which then stays.
    tracing::subscriber::set_global_default(Console).ok();
}

/// Sets what is logged on the console: `off`, `error`, `warn` (the default), `info`, `debug` or `trace`.
///
/// # Errors
/// A `TypeError` for any other text.
#[wasm_bindgen(js_name = setLogLevel)]
pub fn set_log_level(
    #[wasm_bindgen(unchecked_param_type = "'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace'")] level: &str,
) -> Result<(), JsValue> {
    let found = LEVELS.iter().find(|(name, _)| *name == level);
    let (_, number) = found.ok_or_else(|| super::error::type_error(&format!("{level:?} is not a log level")))?;
    LEVEL.store(*number, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

fn number(level: &Level) -> u8 {
    LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(level.as_str())).map_or(u8::MAX, |(_, number)| *number)
}

/// Writes events as lines; spans are not followed.
struct Console;

impl Subscriber for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && number(metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level may change at any time.
        tracing::subscriber::Interest::sometimes()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let metadata = event.metadata();
        let is_ours = metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
        // Ours are counted where they are made; libp2p's are not.
        if !is_ours && *metadata.level() <= Level::WARN && worth_a_line(metadata.name(), "").is_none() {
            return;
        }
        let mut line = Line(format!("[{}]", event.metadata().target()));
        event.record(&mut line);
        let line = JsValue::from_str(&line.0);
        match *event.metadata().level() {
            Level::ERROR => web_sys::console::error_1(&line),
            Level::WARN => web_sys::console::warn_1(&line),
            Level::INFO => web_sys::console::info_1(&line),
            _ => web_sys::console::debug_1(&line),
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl field::Visit for Line {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        if field.name() == "message" { write!(self.0, " {value:?}") } else { write!(self.0, " {field}={value:?}") }
            .ok();
    }
}
