//! The steps of `cargo xtask test`: their order, their names, what they need.

use std::fmt;

use clap::ValueEnum;

use crate::setup::Need;

/// One step, in the order in which they run: what fails fast comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Formatting
    Fmt,
    /// Licences, sources, banned crates and advisories of dependencies
    Deny,
    /// Clippy for this machine
    Clippy,
    /// Clippy for wasm32, each build of wasm-pack.toml
    ClippyWasm,
    /// Links in the documentation: of the code, and of all Markdown, with its tables
    Doc,
    /// Unit and integration tests on this machine
    Native,
    /// The wire, against a peer made of js-libp2p
    Conformance,
    /// Simulated kernels, crash points, model checking, fuzzing corpus, and deliberate bugs that these must find
    Evidence,
    /// The npm package: every build, its imports and exports, the budget of its size, its interface, and fresh projects that use it
    Package,
    /// Browser tests in a window
    BrowserWindow,
    /// Browser tests in a dedicated Worker
    BrowserWorker,
    /// Whole-system tests in real browsers
    EndToEnd,
}

impl Step {
    /// What must be set up for the step.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Step::Fmt | Step::Clippy => &[Need::Components],
            Step::Deny => &[Need::CargoDeny],
            Step::ClippyWasm => &[Need::Components, Need::WasmStd],
            Step::Doc | Step::Native | Step::Evidence => &[],
            Step::Conformance => &[Need::Npm],
            Step::Package => Need::DEMO,
            Step::BrowserWindow | Step::BrowserWorker => {
                &[Need::WasmStd, Need::WasmBindgen, Need::WasmPack, Need::Browser]
            }
            Step::EndToEnd => Need::DEMO,
        }
    }

    /// Whether it runs tests that have names.
    pub(super) fn has_tests(self) -> bool {
        match self {
            Step::Fmt | Step::Deny | Step::Clippy | Step::ClippyWasm | Step::Doc => false,
            Step::Native
            | Step::Conformance
            | Step::Evidence
            | Step::Package
            | Step::BrowserWindow
            | Step::BrowserWorker
            | Step::EndToEnd => true,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}
