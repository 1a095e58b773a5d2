//! The wasm32 standard library built from Debian's copy of its source, for machines that cannot reach rustup's server.
//!
//! A standard library fits one compiler only, so Debian's compiler comes with it. Both are given to the commands that compile for
//! wasm32 by a folder of wrappers; everything else keeps rustup's compiler.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Tools, apt, by_hand, install_whole, say,
    tools::WasmCompiler,
    wasm_std::{NAME, TARGET},
};
use crate::{process, project::Project};

const PACKAGES: [&str; 5] = ["rustc-web", "rust-web-src", "cargo-web", "rust-web-clippy", "lld-22"];
/// What the packages bring; the source tells Debian's current compiler from the old one of its release.
const FILES: [&str; 6] = [
    "/usr/bin/rustc",
    "/usr/bin/rustdoc",
    "/usr/bin/cargo",
    "/usr/bin/clippy-driver",
    "/usr/bin/lld-22",
    "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
];
/// The crate whose build builds the library with it.
const CARRIER: &str = "carrier";

/// Whether the library for the compiler that is installed now was built before.
pub(super) fn is_built(project: &Project) -> bool {
    packages_are_installed() && compiler().is_ok_and(|compiler| compiler.place(project).exists())
}

pub(super) fn prepare(project: &Project, tools: &mut Tools) -> Result<()> {
    if is_built(project) {
        say(NAME, "found (built from Debian's source)");
    } else {
        say(NAME, "building from Debian's source, which apt-get brings (about 1 min)");
        if !packages_are_installed() {
            apt::install(&PACKAGES).with_context(|| {
                by_hand(NAME, format_args!("rustup target add {TARGET}, or {}", apt::by_hand(&PACKAGES)))
            })?;
        }
        let compiler = compiler()?;
        let place = compiler.place(project);
        install_whole(project.cache(), &place, |folder| compiler.build(folder, &place))
            .with_context(|| by_hand(NAME, format_args!("rustup target add {TARGET}")))?;
    }
    let place = compiler()?.place(project);
    let folder = place.join("bin");
    tools.set_wasm_compiler(WasmCompiler {
        variables: vec![
            ("RUSTC", folder.join("rustc")),
            ("RUSTDOC", folder.join("rustdoc")),
            // clippy-driver brings a compiler of its own, which finds the library by this.
            ("SYSROOT", place.join("sysroot")),
        ],
        folder,
    });
    Ok(())
}

fn packages_are_installed() -> bool {
    FILES.iter().all(|file| Path::new(file).exists())
}

/// Debian's compiler: what it says of itself.
struct Compiler {
    release: String,
    host: String,
}

fn compiler() -> Result<Compiler> {
    let printed = process::output_of(Command::new("/usr/bin/rustc").arg("-vV"))?;
    let field = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let release = field("release: ").context("`rustc -vV` names no release")?;
    Ok(Compiler { release, host: field("host: ").context("`rustc -vV` names no host")? })
}

impl Compiler {
    /// The folder of the finished library and wrappers.
    fn place(&self, project: &Project) -> PathBuf {
        project.cache().join("tools").join(format!("debian-rust-{}", self.release))
    }

    /// Fills `folder`, which is to be moved to `place`.
    fn build(&self, folder: &Path, place: &Path) -> Result<()> {
        let built = build_library(&folder.join(CARRIER))?;
        self.lay_out_sysroot(&folder.join("sysroot"), &built)?;
        fs::remove_dir_all(folder.join(CARRIER))?;
        write_wrappers(&folder.join("bin"), &place.join("sysroot"))
    }

    /// The host's own library is linked, that of wasm32 is copied.
    fn lay_out_sysroot(&self, sysroot: &Path, built: &Path) -> Result<()> {
        let rustlib = sysroot.join("lib/rustlib");
        let library = rustlib.join(TARGET).join("lib");
        fs::create_dir_all(&library)?;
        for shared in [self.host.as_str(), "src"] {
            symlink(Path::new("/usr/lib/rustlib").join(shared), rustlib.join(shared))?;
        }
        let mut copied = 0_u32;
        for file in fs::read_dir(built)?.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".rlib") && !name.starts_with(&format!("lib{CARRIER}-")) {
                fs::copy(file.path(), library.join(name))?;
                copied = copied.saturating_add(1);
            }
        }
        ensure!(copied > 0, "the build left no library in {}", built.display());
        Ok(())
    }
}

/// Builds an empty crate with its standard library and returns the folder that holds the latter.
fn build_library(carrier: &Path) -> Result<PathBuf> {
    fs::create_dir_all(carrier.join("src"))?;
    fs::write(carrier.join("src/lib.rs"), "")?;
    let manifest = format!("[package]\nname = \"{CARRIER}\"\nedition = \"2024\"\n[workspace]\n");
    fs::write(carrier.join("Cargo.toml"), manifest)?;
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort,proc_macro,test"]);
    cargo.current_dir(carrier).env("CARGO_TARGET_DIR", carrier.join("target"));
    cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1"); // -Z options are refused by a stable compiler otherwise
    // Meant for the reader's own builds, or set by the cargo that runs this program.
    for foreign in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "LD_LIBRARY_PATH"]
    {
        cargo.env_remove(foreign);
    }
    process::run_quietly(&mut cargo)?;
    Ok(carrier.join("target").join(TARGET).join("release/deps"))
}

/// The programs that go before PATH: Debian's, with the sysroot that holds the library.
fn write_wrappers(bin: &Path, sysroot: &Path) -> Result<()> {
    fs::create_dir_all(bin)?;
    for program in ["rustc", "rustdoc"] {
        let file = bin.join(program);
        let sysroot = sysroot.display().to_string().replace('\'', r"'\''");
        fs::write(&file, format!("#!/bin/sh\nexec /usr/bin/{program} --sysroot '{sysroot}' \"$@\"\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    for (name, program) in [
        ("cargo", "/usr/bin/cargo"),
        ("cargo-clippy", "/usr/bin/cargo-clippy"),
        ("clippy-driver", "/usr/bin/clippy-driver"),
        ("rust-lld", "/usr/bin/lld-22"),
    ] {
        symlink(program, bin.join(name))?;
    }
    Ok(())
}
