//! The JavaScript around one wasm file: wasm-bindgen's bindings with our loader in the place of its own, and entry points.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{config::Build, process, project::Project, setup::Tools};

/// Our JavaScript that all builds share, and that the wasm imports, in the tree and in the package.
const SHARED: &str = "src/js";
const SHARED_IN_PACKAGE: &str = "js";
/// Its types that users import. What else has types there is a part of the bindings'.
const TYPED: [&str; 2] = ["connect.d.ts", "errors.d.ts"];
/// Where wasm-bindgen's own loader begins, and the types of it.
const LOADER: &str = "let wasmModule, wasm;";
const LOADER_TYPES: &str = "export type InitInput =";
/// What the wasm runs when it starts is exported too, and nobody's business.
const START: &str = "/**\n * Runs once when the module is loaded.\n */\nexport function start(): void;\n";

/// Compresses a file and writes it as a module that exports it in base64.
const INLINE: &str = "
    const { readFileSync, writeFileSync } = require('node:fs');
    const [wasm, module] = process.argv.slice(1);
    const text = require('node:zlib').gzipSync(readFileSync(wasm), { level: 9 }).toString('base64');
    writeFileSync(module, `// The wasm, compressed with gzip, in base64.\\nexport default '${text}';\\n`);
";

/// The types of our loader.
const INIT_TYPES: &str = "
/** What the wasm can be loaded from. A server need not know its type. */
export type InitInput = BufferSource | WebAssembly.Module | string | URL | Request | Response;

/** The loaded wasm. */
export interface Half {
    /** How much memory it has now, in bytes. It grows with what is kept at once, and never shrinks. */
    readonly memoryBytes: number;
}

/**
 * Loads the wasm, by default from the file beside this module. Nothing is fetched before. Any number of calls load it once;
 * after a failure the next call tries again.
 *
 * Rejected with an `InitError` that says what is wrong, or with the `CrashError` after a crash.
 */
export default function init(input?: InitInput | PromiseLike<InitInput>): Promise<Half>;

/**
 * As `init`, at once, from what is in memory already.
 *
 * Throws an `InitError`, or the `CrashError` after a crash.
 */
export function initSync(input: BufferSource | WebAssembly.Module): Half;
";

/// The types of what loads the wasm from memory.
const INLINE_TYPES: &str = "
/**
 * Loads the wasm, which is in this module: for places where no file can be fetched. Any number of calls load it once.
 *
 * Rejected with an `InitError`, or with the `CrashError` after a crash.
 */
export default function init(): Promise<Half>;
";

/// What a file of types may export by name.
pub(super) const TYPES: [&str; 3] = ["class", "interface", "type"];

/// The names of a module's exports, sorted.
#[derive(Default)]
pub(super) struct Exports(Vec<String>);

impl Exports {
    /// Reads `export class X`, `export function x` and the like at the beginning of lines.
    pub(super) fn of(source: &str, kinds: &[&str]) -> Self {
        let name = |line: &str| {
            let rest = line.strip_prefix("export ")?.trim_start_matches("declare ");
            let rest = kinds.iter().find_map(|kind| rest.strip_prefix(kind)?.strip_prefix(' '))?;
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
        };
        let mut names: Vec<_> = source.lines().filter_map(name).collect();
        names.sort();
        names.dedup();
        Exports(names)
    }

    pub(super) fn without(mut self, others: &Exports) -> Self {
        self.0.retain(|name| !others.0.contains(name));
        self
    }

    pub(super) fn extend(&mut self, others: Exports) {
        self.0.extend(others.0);
    }

    /// The statement that hands them on; `keyword` is `export` or `export type`.
    pub(super) fn hand_on(&self, keyword: &str, from: &str) -> String {
        match self.0.join(", ") {
            names if names.is_empty() => String::new(),
            names => format!("{keyword} {{ {names} }} from '{from}';\n"),
        }
    }
}

/// Writes the module that is imported without a subpath: errors and types, and no wasm.
pub(super) fn write_index(project: &Project, package: &Path, types: &str, version: &str) -> Result<()> {
    let errors = error_classes(project)?.hand_on("export", "./js/errors.js");
    let note =
        "// The halves are `ocap-remotes/kernel` and `ocap-remotes/network`, among others; this module loads none.\n\n";
    let value = format!("export const version = '{version}';\n");
    fs::write(package.join("index.js"), format!("{note}{errors}{value}"))?;
    let typed = "\n/** The version of this package. */\nexport const version: string;\n";
    Ok(fs::write(package.join("index.d.ts"), format!("{note}export * from './js/errors.js';\n{types}{typed}"))?)
}

/// The errors' classes.
fn error_classes(project: &Project) -> Result<Exports> {
    let file = project.root().join(SHARED).join("errors.js");
    Ok(Exports::of(&fs::read_to_string(file)?, &["class"]))
}

/// Copies our shared JavaScript and its types into the package.
pub(super) fn copy_shared(project: &Project, package: &Path) -> Result<()> {
    let to = package.join(SHARED_IN_PACKAGE);
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(project.root().join(SHARED))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "js") || TYPED.iter().any(|typed| name == *typed) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Makes what wasm-pack wrote into `folder` a part of the package: bindings, types and entry points.
pub(super) fn finish(project: &Project, build: &Build, folder: &Path) -> Result<()> {
    let Build { name, .. } = build;
    let glue = fs::read_to_string(folder.join(format!("{name}.js")))?;
    let exports = Exports::of(&glue, &["class", "function"]).without(&Exports(vec!["start".to_owned()]));
    fs::write(folder.join("bindings.js"), bindings(name, &glue)?)?;
    let types_file = folder.join(format!("{name}.d.ts"));
    fs::write(&types_file, types(&fs::read_to_string(&types_file)?)?)?;
    fs::remove_file(folder.join(format!("{name}_bg.wasm.d.ts")))?;
    remove_snippets(&folder.join("snippets"))?;

    let handed_on = exports.hand_on("export", "./bindings.js") + "export { initSync } from './bindings.js';\n";
    let errors = error_classes(project)?.hand_on("export", "../js/errors.js");
    let entry = |imports: &str, source: &str, parameter: &str| {
        format!(
            "{imports}import {{ load }} from './bindings.js';\n\n{handed_on}{errors}\n\
             export default function init({parameter}) {{\n  return load(() => {source});\n}}\n"
        )
    };
    let beside = format!("new URL('./{name}.wasm', import.meta.url)");
    let write = |file: &str, text: String| fs::write(folder.join(file), text);
    write(&format!("{name}.js"), entry("", &format!("input ?? {beside}"), "input"))?;
    let reader = "import { readIfFile } from '../js/node.js';\n";
    write("node.js", entry(reader, &format!("readIfFile(input ?? {beside})"), "input"))?;
    let reader = "import { decode } from '../js/inline.js';\nimport text from './wasm-inline.js';\n";
    write("inline.js", entry(reader, "decode(text)", ""))?;
    write(
        "inline.d.ts",
        format!("import type {{ Half }} from './{name}.js';\n\nexport * from './{name}.js';\n{INLINE_TYPES}"),
    )?;
    Ok(())
}

/// Writes the wasm as a module.
pub(super) fn write_inline(tools: &Tools, folder: &Path, wasm: &Path) -> Result<()> {
    let module = folder.join("wasm-inline.js");
    process::run_quietly(tools.command("node").args(["-e", INLINE, "--"]).arg(wasm).arg(module))
}

/// wasm-bindgen's bindings with our loader.
fn bindings(name: &str, glue: &str) -> Result<String> {
    let (head, _) = glue.split_once(LOADER).context("wasm-bindgen's loader was not found in its bindings")?;
    ensure!(!head.contains("wasmModule"), "the bindings use more of wasm-bindgen's loader than they did");
    let mut text = String::new();
    for line in head.lines().filter(|line| !line.starts_with("/* @ts-self-types")) {
        text.push_str(&if line.starts_with("import ") { shared_import(line)? } else { checked(line)? });
        text.push('\n');
    }
    let disposable: String = stoppable(head)
        .map(|class| {
            format!("if (Symbol.asyncDispose) {class}.prototype[Symbol.asyncDispose] = {class}.prototype.stop;\n")
        })
        .collect();
    Ok(format!(
        "import {{ bytes, describe, text, texts }} from '../js/arguments.js';\n\
         import {{ WasmModule, notInitialized }} from '../js/module.js';\n{text}\n\
         {disposable}\n\
         let wasm = notInitialized;\n\
         const half = /* @__PURE__ */ new WasmModule('{name}', __wbg_get_imports, (exports) => {{\n  wasm = exports;\n}});\n\
         export const load = (source) => half.load(source);\n\
         export const initSync = (source) => half.loadSync(source);\n"
    ))
}

/// What copies an argument into the wasm's memory without looking at what it is, and what of `arguments.js` looks first.
const COPIES: [(&str, &str); 3] =
    [("passStringToWasm0(", "text"), ("passArrayJsValueToWasm0(", "texts"), ("passArray8ToWasm0(", "bytes")];

/// How the bindings tell that the memory has grown under a view of it. Some `lockdown` gives engines without `detached` one that never
/// says so; that the buffer is another is the fact itself.
const DETACHED: [&str; 2] = [".buffer.detached === true || (", ".buffer.detached === undefined && "];

/// What describes a value for the wasm's errors; `arguments.js` has one that comes to an end.
const DESCRIBED: &str = "const ret = debugString(";

/// A line of the bindings that checks an argument before it is copied.
fn checked(line: &str) -> Result<String> {
    let copy = COPIES.iter().find_map(|(copy, check)| {
        let (before, rest) = line.split_once(copy)?;
        let (argument, rest) = rest.split_once(',')?;
        Some((before, copy, check, argument, rest))
    });
    match copy {
        // The browser's own results are what they are said to be.
        Some((before, copy, check, argument, rest)) if !before.starts_with("function ") && argument != "ret" => {
            // The first two of a function that the wasm hands out are its own.
            let number = argument.strip_prefix("arg").and_then(|number| number.parse::<usize>().ok());
            let name = number.map_or(argument.to_owned(), |number| format!("argument {}", number.saturating_sub(1)));
            Ok(format!("{before}{copy}{check}({argument}, '{name}'),{rest}"))
        }
        None if line.contains("ToWasm0(") && !line.starts_with("function ") => {
            bail!("nobody checks what the bindings copy in `{line}`")
        }
        _ => Ok(with_own_detached_check(&line.replace(DESCRIBED, "const ret = describe("))?),
    }
}

/// `view.buffer.detached === true || (view.buffer.detached === undefined && view.buffer !== memory)` becomes
/// `(view.buffer !== memory)`.
fn with_own_detached_check(line: &str) -> Result<String> {
    let [first, second] = DETACHED;
    let Some((before, rest)) = line.split_once(first) else {
        ensure!(!line.contains(".detached"), "the bindings tell in another way that memory has grown: `{line}`");
        return Ok(line.to_owned());
    };
    let view = before.rsplit([' ', '(']).next().unwrap_or_default();
    let rest = rest.strip_prefix(view).and_then(|rest| rest.strip_prefix(second));
    let rest = rest.with_context(|| format!("the bindings tell in another way that memory has grown: `{line}`"))?;
    Ok(format!("{}({rest}", before.strip_suffix(view).unwrap_or(before)))
}

/// The classes that have a method `stop`.
fn stoppable(glue: &str) -> impl Iterator<Item = &str> {
    glue.split("\nexport class ").skip(1).filter_map(|class| {
        let body = class.split("\n}\n").next()?;
        body.contains("\n    stop() {").then(|| body.split([' ', '{']).next().unwrap_or_default())
    })
}

/// An import of a copy of our JavaScript becomes one of the copy that all builds share.
fn shared_import(line: &str) -> Result<String> {
    let (before, path) = line.split_once("./snippets/ocap-remotes-").with_context(|| format!("what is `{line}`?"))?;
    let (_, file) = path.split_once("/src/js/").with_context(|| format!("what is `{line}`?"))?;
    Ok(format!("{before}../js/{file}"))
}

/// The bindings' types, with those of our loader and errors.
fn types(generated: &str) -> Result<String> {
    let (head, _) = generated.split_once(LOADER_TYPES).context("the loader's types were not found")?;
    ensure!(head.contains(START), "the start function's type was not found");
    let head = head.replace(START, "").replace("/* tslint:disable */\n/* eslint-disable */\n", "");
    // `Symbol.dispose` is not in every program's lib.
    let text =
        format!("/// <reference lib=\"esnext.disposable\" />\n\nexport * from '../js/errors.js';\n{head}{INIT_TYPES}");
    Ok(without_blank_runs(&text))
}

fn without_blank_runs(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && lines.last().is_none_or(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// wasm-bindgen's copies of our JavaScript; anything else in there is not expected.
fn remove_snippets(folder: &Path) -> Result<()> {
    let mut others: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).context("the bindings import no JavaScript of ours")? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ocap-remotes-")) {
            others.push(path);
        }
    }
    ensure!(others.is_empty(), "a dependency brings JavaScript along: {others:?}");
    Ok(fs::remove_dir_all(folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLUE: &str = "/* @ts-self-types=\"./kernel.d.ts\" */\n\
        import { errorNamed } from './snippets/ocap-remotes-1a2b/src/js/errors.js';\n\
        /**\n * One.\n */\nexport class Kernel {\n    stop() {\n    }\n}\nexport class Store {\n    close() {\n    }\n}\n\
        export function start() {\n}\nfunction __wbg_get_imports() {\n}\n\
        let wasmModule, wasm;\nasync function __wbg_init() {}\nexport { initSync, __wbg_init as default };\n";

    #[test]
    fn bindings_keep_all_but_the_loader_and_share_our_javascript() {
        let text = bindings("kernel", GLUE).unwrap();
        assert!(text.contains("import { errorNamed } from '../js/errors.js';"), "{text}");
        assert!(text.contains("export class Kernel {") && text.contains("new WasmModule('kernel'"), "{text}");
        assert!(text.contains("Kernel.prototype.stop;") && !text.contains("Store.prototype"), "{text}");
        assert!(!text.contains("__wbg_init") && !text.contains("snippets"), "{text}");
    }

    #[test]
    fn bindings_of_another_shape_are_refused() {
        assert!(bindings("kernel", "export class Kernel {}").is_err());
        assert!(bindings("kernel", &GLUE.replace("./snippets/ocap-remotes-1a2b", "./snippets/other-1a2b")).is_err());
        assert!(bindings("kernel", &GLUE.replace("stop() {", "stop() { wasmModule;")).is_err());
    }

    #[test]
    fn arguments_are_checked_before_they_are_copied() {
        for (line, expected) in [
            ("const p = passStringToWasm0(to, wasm.m);", "const p = passStringToWasm0(text(to, 'to'), wasm.m);"),
            (
                "var p = isLikeNone(slots) ? 0 : passArrayJsValueToWasm0(slots, wasm.m);",
                "var p = isLikeNone(slots) ? 0 : passArrayJsValueToWasm0(texts(slots, 'slots'), wasm.m);",
            ),
            ("const p = passArray8ToWasm0(it, wasm.m);", "const p = passArray8ToWasm0(bytes(it, 'it'), wasm.m);"),
            (
                "const p = passStringToWasm0(arg2, wasm.m);",
                "const p = passStringToWasm0(text(arg2, 'argument 1'), wasm.m);",
            ),
            ("const p = passStringToWasm0(ret, wasm.m);", "const p = passStringToWasm0(ret, wasm.m);"),
            ("function passStringToWasm0(arg, malloc) {", "function passStringToWasm0(arg, malloc) {"),
            ("const ret = debugString(arg1);", "const ret = describe(arg1);"),
            ("return takeObject(ret);", "return takeObject(ret);"),
        ] {
            assert_eq!(checked(line).unwrap(), expected);
        }
        assert!(checked("const p = passArrayF64ToWasm0(it, wasm.m);").is_err());
    }

    #[test]
    fn memory_has_grown_when_its_buffer_is_another() {
        let line = "    if (v === null || v.buffer.detached === true || (v.buffer.detached === undefined && v.buffer !== wasm.memory.buffer)) {";
        assert_eq!(checked(line).unwrap(), "    if (v === null || (v.buffer !== wasm.memory.buffer)) {");
        assert!(checked("if (v.buffer.detached) {").is_err());
    }

    #[test]
    fn exports_are_found_by_their_kind() {
        let exports = Exports::of(GLUE, &["class", "function"]);
        assert_eq!(exports.0, ["Kernel", "Store", "start"]);
        let rest = exports.without(&Exports::of(GLUE, &["function"]));
        assert_eq!(rest.hand_on("export", "./x.js"), "export { Kernel, Store } from './x.js';\n");
    }

    #[test]
    fn types_have_our_loader() {
        let generated = format!(
            "/* tslint:disable */\n/* eslint-disable */\n\n\nexport class Kernel {{}}\n\n{START}\nexport type InitInput = 1;\n"
        );
        let text = types(&generated).unwrap();
        assert!(text.contains("export class Kernel {}") && text.contains("PromiseLike<InitInput>"), "{text}");
        assert!(!text.contains("start()") && !text.contains("\n\n\n") && !text.contains("= 1;"), "{text}");
        assert!(types(&generated.replace(START, "")).is_err());
    }
}
