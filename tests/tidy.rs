//! The rules of this repository that no compiler checks, each as one test over the tracked files:
//! crate edges, what the sans-IO crates may not name, where `unsafe` may stand, sizes, leftovers,
//! and what the documents have to mention.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines a source file may have. Longer is for declarative tables only.
const FILE_LINES_MAX: usize = 800;
/// Lines a function may have, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Files over [`FILE_LINES_MAX`], each with the reason why it is better whole.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions over [`FUNCTION_LINES_MAX`] as `path::name`, each with the reason why it is better whole.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// What each crate may depend on among ours, in the shipped code and in its tests.
const EDGES: &[Edge] = &[
    Edge { from: "crossring-codec", to: &["crossring-flatbuffers"], to_in_tests: &[] },
    Edge { from: "crossring-flatbuffers", to: &[], to_in_tests: &[] },
    Edge { from: "crossring-io", to: &[], to_in_tests: &[] },
    Edge { from: "crossring-router", to: &["crossring-codec"], to_in_tests: &["crossring-sim"] },
    Edge { from: "crossring-sim", to: &["crossring-codec", "crossring-router"], to_in_tests: &[] },
    Edge {
        from: "crossring",
        to: &["crossring-codec", "crossring-io", "crossring-router"],
        to_in_tests: &["crossring-sim"],
    },
    Edge {
        from: "crossring-perf",
        to: &["crossring-codec", "crossring-io", "crossring-router"],
        to_in_tests: &[],
    },
    Edge {
        from: "crossring-benches",
        to: &["crossring", "crossring-codec", "crossring-io", "crossring-router"],
        to_in_tests: &[],
    },
];

struct Edge {
    from: &'static str,
    to: &'static [&'static str],
    to_in_tests: &'static [&'static str],
}

/// All that the top level may hold, besides dotfiles.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "src",
    "io",
    "codec",
    "router",
    "benches",
    "perf",
    "tests",
    "docs",
];

/// What the sans-IO crates may not name: time, threads, sockets and the environment are arguments,
/// ids come from a seeded generator, and no output order comes from a hash map.
const NOT_SANS_IO: &[&str] = &[
    "std::net",
    "std::thread",
    "std::time",
    "std::env",
    "std::fs",
    "std::process",
    "HashMap as StdHashMap",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "RandomState",
    "thread_rng",
    "getrandom",
    "fastrand",
    "rand::",
    "SystemTime",
    "Instant::now",
];

#[test]
fn crates_depend_only_along_the_designed_edges() {
    let mut faults = Faults::default();
    for package in workspace_packages() {
        let name = text(&package["name"]);
        let Some(edge) = EDGES.iter().find(|edge| edge.from == name) else {
            faults.add(&name, 0, "crate without a row in EDGES");
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = text(&dependency["name"]);
            if !target.starts_with("crossring") {
                continue;
            }
            let in_tests = dependency["kind"].as_str() == Some("dev");
            let allowed = edge.to.contains(&target.as_str())
                || (in_tests && edge.to_in_tests.contains(&target.as_str()));
            if !allowed {
                faults.add(&name, 0, &format!("must not depend on {target}"));
            }
        }
    }
    faults.check("crate edges");
}

#[test]
fn codec_and_router_do_no_io_and_know_no_clock() {
    let mut faults = Faults::default();
    for file in rust_files() {
        if !(file.path.starts_with("codec/src/") || file.path.starts_with("router/src/")) || file.is_test() {
            continue;
        }
        let code = without_test_modules(&file.code);
        for (number, line) in numbered(&code) {
            for word in NOT_SANS_IO.iter().filter(|word| contains_word(line, word)) {
                faults.add(&file.path, number, &format!("`{word}` in a sans-IO crate"));
            }
            if line.contains("std::{") {
                faults.add(
                    &file.path,
                    number,
                    "name std's modules one per `use`, so that this check sees them",
                );
            }
        }
    }
    faults.check("sans-IO crates");
}

#[test]
fn unsafe_code_is_forbidden_outside_io() {
    let mut faults = Faults::default();
    for package in workspace_packages() {
        // What is generated is not ours to write.
        if package["name"] == "crossring-io" || package["name"] == "crossring-flatbuffers" {
            continue;
        }
        let targets = package["targets"].as_array().into_iter().flatten();
        for target in targets.filter(|target| is_shipped(&target["kind"])) {
            let path = PathBuf::from(text(&target["src_path"]));
            let root = fs::read_to_string(&path).expect("crate root is readable");
            if !code_only(&root).contains("#![forbid(unsafe_code)]") {
                let shown = path.strip_prefix(root_directory()).unwrap_or(&path);
                faults.add(&shown.display().to_string(), 1, "crate root without #![forbid(unsafe_code)]");
            }
        }
    }
    for file in rust_files().iter().filter(|file| !file.path.starts_with("io/")) {
        for (number, _) in numbered(&file.code).filter(|(_, line)| contains_word(line, "unsafe {")) {
            faults.add(&file.path, number, "unsafe block outside io");
        }
    }
    faults.check("unsafe outside io");
}

/// Whether a target of this kind is a library or a program, rather than a test or a benchmark.
fn is_shipped(kind: &serde_json::Value) -> bool {
    kind.as_array().into_iter().flatten().any(|kind| kind == "lib" || kind == "bin")
}

#[test]
fn every_unsafe_in_io_says_why_it_is_sound() {
    const LINES_ABOVE: usize = 12;
    let mut faults = Faults::default();
    for file in rust_files().iter().filter(|file| file.path.starts_with("io/")) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (number, line) in numbered(&file.code) {
            let Some(use_) = unsafe_use(line) else { continue };
            let above = &lines[number.saturating_sub(1 + LINES_ABOVE)..number];
            let said = above.iter().any(|line| use_.notes.iter().any(|note| line.contains(note)));
            if !said {
                faults.add(&file.path, number, &format!("`{}` without {}", use_.what, use_.notes[0]));
            }
        }
    }
    faults.check("SAFETY notes");
}

#[test]
fn files_are_short() {
    let mut faults = Faults::default();
    let mut used = Vec::new();
    for file in rust_files() {
        let count = file.text.lines().count();
        if count <= FILE_LINES_MAX {
            continue;
        }
        match LONG_FILES.iter().find(|(path, _)| *path == file.path) {
            Some((path, _)) => used.push(*path),
            None => faults.add(&file.path, count, &format!("more than {FILE_LINES_MAX} lines")),
        }
    }
    for (path, _) in LONG_FILES.iter().filter(|(path, _)| !used.contains(path)) {
        faults.add(path, 0, "listed in LONG_FILES, but short or gone");
    }
    faults.check("file length");
}

#[test]
fn functions_are_short() {
    let mut faults = Faults::default();
    let mut used = Vec::new();
    for file in rust_files() {
        for function in functions(&file.code) {
            if function.lines <= FUNCTION_LINES_MAX {
                continue;
            }
            let full_name = format!("{}::{}", file.path, function.name);
            match LONG_FUNCTIONS.iter().find(|(name, _)| *name == full_name) {
                Some((name, _)) => used.push(*name),
                None => {
                    let message = format!("`{}` has {} lines", function.name, function.lines);
                    faults.add(&file.path, function.line, &message);
                }
            }
        }
    }
    for (name, _) in LONG_FUNCTIONS.iter().filter(|(name, _)| !used.contains(name)) {
        faults.add(name, 0, "listed in LONG_FUNCTIONS, but short or gone");
    }
    faults.check("function length");
}

#[test]
fn nothing_is_left_half_done() {
    // Spelled in halves, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!"),
        concat!("unimplemented", "!"),
        concat!("#[ign", "ore"),
    ];
    let mut faults = Faults::default();
    for file in text_files() {
        for (number, line) in numbered(&file.text) {
            for mark in marks.iter().filter(|mark| contains_word(line, mark)) {
                faults.add(&file.path, number, &format!("`{mark}`"));
            }
        }
    }
    faults.check("leftovers");
}

#[test]
fn no_file_names_a_private_path_or_a_package_registry() {
    // Spelled in halves, so that this file does not find itself. Lock files of cargo have to name theirs.
    let private =
        [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    let registries = [
        concat!("crates", ".io"),
        concat!("registry.npm", "js.org"),
        concat!("py", "pi.org"),
        concat!("pythonhosted", ".org"),
        concat!("deb.deb", "ian.org"),
        concat!("proxy.gol", "ang.org"),
    ];
    let mut faults = Faults::default();
    for file in text_files() {
        for (number, line) in numbered(&file.text) {
            for path in private.iter().filter(|path| contains_path(line, path)) {
                faults.add(&file.path, number, &format!("absolute path `{path}`"));
            }
            for host in registries.iter().filter(|host| line.contains(*host)) {
                if !file.path.ends_with("Cargo.lock") {
                    faults.add(&file.path, number, &format!("package registry `{host}`"));
                }
            }
        }
    }
    faults.check("private paths and registries");
}

#[test]
fn the_top_level_holds_only_what_the_layout_names() {
    let mut faults = Faults::default();
    for path in tracked_paths() {
        let top = path.split('/').next().unwrap_or(&path);
        if !top.starts_with('.') && !TOP_LEVEL.contains(&top) {
            faults.add(&path, 0, "not part of the top level");
        }
    }
    faults.check("top level");
}

#[test]
fn the_architecture_document_names_every_crate_and_dependency() {
    let path = root_directory().join("docs/ARCHITECTURE.md");
    let Ok(document) = fs::read_to_string(&path) else {
        println!("docs/ARCHITECTURE.md is not there yet");
        return;
    };
    let mut faults = Faults::default();
    for package in workspace_packages() {
        let name = text(&package["name"]);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = text(&dependency["name"]);
            if !target.starts_with("crossring") && !contains_word(&document, &target) {
                let message = format!("does not say why {name} depends on {target}");
                faults.add("docs/ARCHITECTURE.md", 0, &message);
            }
        }
    }
    faults.check("architecture document");
}

#[test]
fn the_table_of_features_names_only_tests_that_exist() {
    const PAGE: &str = "docs/guide/features.md";
    let page = fs::read_to_string(root_directory().join(PAGE)).expect("the table of features");
    let mut faults = Faults::default();
    let paths = tracked_paths();
    for (number, line) in numbered(&page) {
        for name in line.split('`').skip(1).step_by(2) {
            let is_test = [".wamp", ".rs", ".py", ".js"].iter().any(|end| name.ends_with(end));
            let exists = || paths.iter().any(|path| path.ends_with(&format!("/{name}")));
            if is_test && !name.contains('*') && !exists() {
                faults.add(PAGE, number, &format!("there is no {name}"));
            }
        }
    }
    faults.check("features");
}

/// A test is named as `file.rs::name`, a transcript by its file.
#[test]
fn the_threat_model_names_only_tests_that_exist() {
    const PAGE: &str = "docs/security.md";
    let page = fs::read_to_string(root_directory().join(PAGE)).expect("the threat model");
    let mut faults = Faults::default();
    let files = text_files();
    let mut tests = 0;
    for (number, line) in numbered(&page) {
        for named in line.split('`').skip(1).step_by(2) {
            let (file, name) = named.split_once("::").unwrap_or((named, ""));
            if ![".wamp", ".rs", ".py", ".js"].iter().any(|end| file.ends_with(end)) {
                continue;
            }
            tests += 1;
            let found = files.iter().filter(|it| it.path.ends_with(&format!("/{file}")));
            let declared = [format!("fn {name}("), format!("def {name}(")];
            if !found
                .into_iter()
                .any(|it| name.is_empty() || declared.iter().any(|text| it.text.contains(text)))
            {
                faults.add(PAGE, number, &format!("there is no {named}"));
            }
        }
    }
    assert!(tests > 0, "the threat model names tests");
    faults.check("threat model");
}

/// Secrets are compared where that takes the same time wherever they differ, and nowhere else.
#[test]
fn exposed_secrets_are_not_compared() {
    let mut faults = Faults::default();
    for file in rust_files().iter().filter(|file| !file.is_test()) {
        for (number, line) in numbered(&without_test_modules(&file.code)) {
            let compared = ["==", "!=", ".eq(", ".ne(", "starts_with", "contains("];
            if line.contains(".expose()") && compared.iter().any(|operator| line.contains(operator)) {
                faults.add(&file.path, number, "an exposed secret is compared");
            }
        }
    }
    faults.check("secrets");
}

#[test]
fn the_guide_names_every_command_and_option() {
    let guide: String = text_files()
        .iter()
        .filter(|file| file.path.starts_with("docs/guide/") || file.path == "README.md")
        .map(|file| file.text.as_str())
        .collect();
    let mut faults = Faults::default();
    for command in commands(&help(&[])) {
        if !guide.contains(&format!("crossring {command}")) {
            faults.add("docs/guide", 0, &format!("no `crossring {command}`"));
        }
        for option in long_options(&help(&[&command])) {
            if !contains_word(&guide, &option) {
                faults.add("docs/guide", 0, &format!("`crossring {command}` takes {option}"));
            }
        }
    }
    faults.check("command line");
}

/// What the program says about itself or about one of its commands.
fn help(command: &[&str]) -> String {
    let arguments = [command, &["--help"]].concat();
    run(env!("CARGO_BIN_EXE_crossring"), &arguments)
}

/// The names under `Commands:`, clap's own `help` left out.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(String::from)
        .collect()
}

/// The long options of one command, those that every command has left out.
fn long_options(help: &str) -> Vec<String> {
    let starts = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = starts.flat_map(|line| line.split([' ', ',', '=', '[']).take(4));
    let long = words.filter(|word| word.starts_with("--") && !matches!(*word, "--help" | "--version"));
    long.map(String::from).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut faults = Faults::default();
    let documents: Vec<SourceFile> = text_files().into_iter().filter(|f| f.path.ends_with(".md")).collect();
    for document in &documents {
        for (number, line) in numbered(&without_code_blocks(&document.text)) {
            for target in link_targets(line) {
                if let Some(fault) = link_fault(document, target) {
                    faults.add(&document.path, number, &fault);
                }
            }
        }
    }
    faults.check("links");
}

/// What is wrong with one link, if anything.
fn link_fault(document: &SourceFile, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let directory = Path::new(&document.path).parent().unwrap_or(Path::new(""));
    let path = if file.is_empty() {
        root_directory().join(&document.path)
    } else {
        root_directory().join(directory).join(file)
    };
    if !path.exists() {
        return Some(format!("link to `{target}`, which does not exist"));
    }
    if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let linked = fs::read_to_string(&path).ok()?;
    let found = linked.lines().any(|line| line.starts_with('#') && heading_anchor(line) == anchor);
    (!found).then(|| format!("link to `{target}`: no such heading"))
}

/// The anchor that a Markdown heading gets: lower case, spaces as hyphens, punctuation dropped.
fn heading_anchor(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim();
    title
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
        .collect()
}

/// The targets of inline links on one line: the text between `](` and `)`.
fn link_targets(line: &str) -> Vec<&str> {
    let starts = line.match_indices("](").map(|(at, mark)| at + mark.len());
    starts.filter_map(|start| line[start..].split_once(')')).map(|(target, _)| target.trim()).collect()
}

fn without_code_blocks(markdown: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in markdown.lines() {
        inside ^= line.trim_start().starts_with("```");
        let _ = writeln!(kept, "{}", if inside { "" } else { line });
    }
    kept
}

/// One use of `unsafe` on a line, and the notes of which one has to stand above it.
struct UnsafeUse {
    what: &'static str,
    notes: &'static [&'static str],
}

fn unsafe_use(line: &str) -> Option<UnsafeUse> {
    const BLOCK: &[&str] = &["SAFETY:"];
    const DECLARATION: &[&str] = &["# Safety", "SAFETY:"];
    if !contains_word(line, "unsafe") || line.contains("unsafe_") && !line.contains("unsafe {") {
        return None;
    }
    let after = line.split("unsafe").nth(1)?.trim_start();
    if after.starts_with("fn") && line.contains("fn(") {
        return None; // a function pointer type
    }
    Some(match after {
        _ if after.starts_with("impl") => UnsafeUse { what: "unsafe impl", notes: BLOCK },
        _ if after.starts_with("fn") => UnsafeUse { what: "unsafe fn", notes: DECLARATION },
        _ if after.starts_with("trait") => UnsafeUse { what: "unsafe trait", notes: DECLARATION },
        _ => UnsafeUse { what: "unsafe block", notes: BLOCK },
    })
}

/// A function found in scrubbed source.
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = at == 0 || !is_word_byte(code.as_bytes()[at - 1]);
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code[at..]) {
            let line = 1 + code[..at].matches('\n').count();
            let lines = 1 + code[at..at + end].matches('\n').count();
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// Where the body of the function that starts `code` ends; none for a declaration without a body.
fn body_end(code: &str) -> Option<usize> {
    let mut brackets = 0i32;
    let mut braces = 0i32;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if brackets == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Scrubbed source with the modules under `#[cfg(test)]` blanked.
fn without_test_modules(code: &str) -> String {
    let mut kept = String::from(code);
    while let Some(at) = kept.find("#[cfg(test)]") {
        let end = body_end(&kept[at..]).map_or(at + "#[cfg(test)]".len(), |end| at + end);
        let blank: String = kept[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(at..end, &blank);
    }
    kept
}

/// Source with comments, strings and character literals blanked; lines keep their numbers.
fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = blank_length(&bytes[at..], code.last().copied());
        let taken = length.max(1);
        let piece = &bytes[at..at + taken];
        code.extend(piece.iter().map(|byte| if length > 0 && *byte != b'\n' { b' ' } else { *byte }));
        at += taken;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// How many bytes at the start of `rest` are a comment, a string or a character literal.
fn blank_length(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(is_word_byte);
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_length(rest),
        [b'"', ..] => quoted_length(rest, b'"'),
        [b'r' | b'b' | b'c', ..] if !in_word => raw_string_length(rest),
        [b'\'', b'\\', ..] => quoted_length(rest, b'\''),
        [b'\'', ..] => character_length(rest),
        _ => 0,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`; zero for anything else, plain `b"…"` included (its quote follows).
fn raw_string_length(rest: &[u8]) -> usize {
    let prefix = if rest.first() == Some(&b'r') { 1 } else { 2 };
    if rest.get(prefix - 1) != Some(&b'r') {
        return 0;
    }
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return 0;
    }
    let mut end = vec![b'"'];
    end.extend(std::iter::repeat_n(b'#', hashes));
    let body = prefix + hashes + 1;
    let found = rest[body..].windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| body + at + end.len())
}

/// `'x'` with any one character; zero for a lifetime.
fn character_length(rest: &[u8]) -> usize {
    let character = rest.get(1).map_or(1, |byte| match byte {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    });
    if rest.get(1 + character) == Some(&b'\'') { character + 2 } else { 0 }
}

/// Faults of one rule, reported together.
#[derive(Default)]
struct Faults {
    lines: Vec<String>,
}

impl Faults {
    fn add(&mut self, path: &str, line: usize, message: &str) {
        self.lines.push(format!("{path}:{line}: {message}"));
    }

    #[track_caller]
    fn check(&self, rule: &str) {
        assert!(self.lines.is_empty(), "{rule}: {} faults\n{}", self.lines.len(), self.lines.join("\n"));
    }
}

/// A tracked text file; `code` is the scrubbed text of a Rust file.
struct SourceFile {
    path: String,
    text: String,
    code: String,
}

impl SourceFile {
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

fn rust_files() -> Vec<SourceFile> {
    let mut files = text_files();
    files.retain(|file| file.path.ends_with(".rs"));
    for file in &mut files {
        file.code = code_only(&file.text);
    }
    files
}

/// Every tracked file that is text.
fn text_files() -> Vec<SourceFile> {
    let read = |path: String| {
        let text = fs::read_to_string(root_directory().join(&path)).ok()?;
        Some(SourceFile { path, text, code: String::new() })
    };
    tracked_paths().into_iter().filter_map(read).collect()
}

/// What git tracks or would track, relative to the root and sorted.
fn tracked_paths() -> Vec<String> {
    let listing = run("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    let mut paths: Vec<String> = listing.lines().map(String::from).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn workspace_packages() -> Vec<BTreeMap<String, serde_json::Value>> {
    let metadata = run(env!("CARGO"), &["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("cargo prints JSON");
    serde_json::from_value(metadata["packages"].clone()).expect("packages are objects")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root_directory()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

fn root_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `word` stands in `line` and is not part of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(at, _)| {
        let end = at + word.len();
        let open_before = at == 0 || !is_word_byte(bytes[at - 1]);
        let word_goes_on = is_word_byte(word.as_bytes()[word.len() - 1])
            && bytes.get(end).is_some_and(|byte| is_word_byte(*byte));
        open_before && !word_goes_on
    })
}

/// Whether `line` holds an absolute path that starts with `path`, not a longer path with that part inside.
fn contains_path(line: &str, path: &str) -> bool {
    let part_of_longer = |byte: u8| is_word_byte(byte) || matches!(byte, b'.' | b'-' | b'/' | b'}' | b'>');
    line.match_indices(path).any(|(at, _)| at == 0 || !part_of_longer(line.as_bytes()[at - 1]))
}

#[test]
fn the_scrubber_blanks_comments_strings_and_characters() {
    let check = |source: &str, expected: &str| assert_eq!(code_only(source), expected);
    check("a // b\nc", "a     \nc");
    check("a /* /* b */ */ c", "a               c");
    check(r#"f("}\"{") + 1"#, "f(      ) + 1");
    check(r##"f(r#"{"#)"##, "f(      )");
    check("'{' <'a> '\\'' b'x'", "    <'a>      b   ");
}

#[test]
fn commands_and_options_are_read_from_help() {
    let help = "Usage: x\n\nCommands:\n  start    Runs\n           it\n  pub      Publishes\n  help     Print\n\nOptions:\n  \
                -c, --config <FILE>  File\n      --shards[=<N>]\n  -h, --help  Print\n";
    assert_eq!(commands(help), ["start", "pub"]);
    assert_eq!(long_options(help), ["--config", "--shards"]);
}

#[test]
fn functions_are_found_with_their_lengths() {
    let found = functions("trait T { fn a(); }\nfn b(x: [u8; 3])\n{\n if x {}\n}\nlet f: fn(u8);");
    let shown: Vec<(&str, usize, usize)> =
        found.iter().map(|function| (function.name.as_str(), function.line, function.lines)).collect();
    assert_eq!(shown, [("b", 2, 4)]);
}
