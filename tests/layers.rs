//! The shape of the source, as a test: which layer may name which, where `unsafe` may stand, how long a file may be,
//! who may meet the operating system, and that lib.rs holds nothing but docs and re-exports.
//!
//! The checker reads tokens, not types: it blanks comments and literals, then follows every path that begins with
//! `crate`, `self`, `super` or the name of a child module to the deepest module that has a file of its own. A name
//! that lib.rs re-exports counts as the module it comes from. Its own tests at the end show that it fails when it must.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the library and its layer; a module may name its own layer and those below it. What stands here
/// goes for its children too, unless they have an entry of their own: by name, or all together as `parent::*`.
const LAYERS: &[(&str, u8)] = &[
    ("sync", 0),
    ("trials", 0),
    ("error", 0),
    ("limits", 0),
    ("position", 0),
    ("time", 0),
    ("subject", 0),
    ("event", 0),
    ("head", 0),
    ("actor", 0),
    ("append", 0),
    ("checkpoint", 0),
    ("query", 0),
    // The patterns of a query are part of its value; the other children of `query` plan and run it.
    ("query::pattern", 0),
    ("report", 0),
    ("json", 0),
    ("trace", 0),
    ("catalog", 0),
    ("format", 1),
    ("io", 2),
    ("segment", 3),
    ("log", 4),
    ("query::*", 5),
    ("reader", 5),
    ("feed", 5),
    ("snapshot", 5),
    ("store", 6),
    ("options", 6),
    ("import", 6),
    ("table_events", 6),
    ("boundary", 6),
    ("inspect", 6),
    ("describe", 6),
    ("metrics", 6),
    ("receipt", 6),
    ("repair", 6),
    ("archive", 6),
    ("backup", 6),
    ("restore", 6),
    ("verify", 6),
    // Entry points for fuzzing: behind a feature, above all that is fuzzed.
    ("fuzzing", 7),
    ("projection", 7),
    ("sql", 7),
    ("flow", 7),
    ("worker", 7),
    // What a worker keeps is read by verify, backup and restore, and held open by the store.
    ("worker::state", 4),
    ("worker::kept", 4),
    ("worker::journal", 4),
    ("cli", 8),
    ("main", 8),
];

/// From this layer on, only what a user of the crate could name is allowed: what lib.rs re-exports and its public
/// modules.
const PUBLIC_API_ONLY: u8 = 8;

/// The layer that meets the operating system. The command line has files and a terminal of its own.
const OS_LAYER: &str = "io";
const OS_PATHS: &[&str] = &["std::fs", "memmap2", "rustix"];

/// Files that may meet the operating system all the same, each with its reason.
const OS_ALLOWED: &[(&str, &str)] = &[
    ("src/flow/control/mod.rs", "the control socket of a running flow is no file of the log"),
    ("src/flow/control/server.rs", "its mode is set, one that was left is removed, and who asks is looked at"),
];

/// Files that may hold `unsafe`, each with its reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("src/io/map.rs", "bytes that another process writes are read through a mapping"),
    (
        "src/sql/events/module.rs",
        "a table of SQLite is declared by implementing unsafe traits; nothing else is unsafe there",
    ),
    ("benches/peers/src/peers/heed.rs", "its environment is opened by an unsafe call"),
    ("benches/peers/src/peers/walrus.rs", "it is told its directory by the environment of the process alone"),
    ("tests/allocations.rs", "an allocator cannot be counted without being one"),
];

const CODE_LINES_MAX: usize = 600;
const TEST_CODE_LINES_MAX: usize = 900;

#[test]
fn the_source_keeps_its_shape() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Files::new();
    for directory in ["src", "tests", "benches", "fuzz/fuzz_targets", "models/src"] {
        collect(root, &root.join(directory), &mut files);
    }
    assert!(files.contains_key("src/lib.rs"), "no source was found");
    let faults = check(&files);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Path from the root of the crate, with `/`, to content.
type Files = BTreeMap<String, String>;

fn collect(root: &Path, directory: &Path, files: &mut Files) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            // What a crate beside the library was built into: nobody wrote it.
            if !path.join("CACHEDIR.TAG").exists() {
                collect(root, &path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// All faults, each a line that begins with file and line.
fn check(files: &Files) -> Vec<String> {
    let source: Vec<Source> =
        files.iter().filter(|(path, _)| path.starts_with("src/")).map(|(path, text)| Source::new(path, text)).collect();
    let tree = Tree {
        modules: source.iter().map(|file| file.module.clone()).collect(),
        root: source.iter().find(|file| file.path == "src/lib.rs"),
    };
    let mut faults = Vec::new();
    for file in &source {
        check_edges(file, &tree, &mut faults);
        check_unsafe(file, &mut faults);
        check_os(file, &mut faults);
        if file.path == "src/lib.rs" {
            check_root(file, &mut faults);
        }
    }
    for (path, text) in files {
        check_length(path, text, &mut faults);
        if !path.starts_with("src/") {
            check_unsafe(&Source::new(path, text), &mut faults);
        }
    }
    faults
}

/// A source file as its tokens.
struct Source {
    path: String,
    /// `log::commit` for src/log/commit.rs, empty for lib.rs.
    module: String,
    tokens: Vec<Token>,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let name = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        Source {
            path: path.to_owned(),
            module: if name == "lib" { String::new() } else { name.replace('/', "::") },
            tokens: tokens(&blank(text)),
        }
    }

    /// Whether the file is a `tests` module or lies within one.
    fn is_tests(&self) -> bool {
        self.module.split("::").any(|part| part == "tests")
    }

    fn fault(&self, token: &Token, what: &str) -> String {
        format!("{}:{}: {what}", self.path, token.line)
    }

    /// Every path in the file, `use` trees spread out, each with the token it begins at.
    fn paths(&self) -> impl Iterator<Item = (&Token, Leaf)> {
        let begins = (0..self.tokens.len()).filter(|at| begins_path(&self.tokens, *at));
        begins.flat_map(move |at| leaves(&self.tokens[at..]).into_iter().map(move |leaf| (&self.tokens[at], leaf)))
    }
}

struct Tree<'a> {
    /// Every module that has a file of its own.
    modules: Vec<String>,
    root: Option<&'a Source>,
}

impl Tree<'_> {
    /// The deepest module with a file that `path` leads into.
    fn module_of(&self, path: &[String]) -> Option<String> {
        let lengths = (1..=path.len()).rev();
        lengths.map(|length| path[..length].join("::")).find(|module| self.modules.contains(module))
    }

    /// The module that a name comes from which lib.rs re-exports.
    fn re_export(&self, name: &str) -> Option<String> {
        let tokens = &self.root?.tokens;
        let uses = (0..tokens.len()).filter(|at| tokens[*at].text == "use");
        let mut leaves = uses.flat_map(|at| leaves(&tokens[at + 1..]));
        let leaf = leaves.find(|leaf| leaf.name.as_deref() == Some(name))?;
        let path: Vec<String> = leaf.path.into_iter().filter(|part| part != "crate" && part != "self").collect();
        self.module_of(&path)
    }

    fn is_public_module(&self, name: &str) -> bool {
        let declared = |three: &[Token]| three[0].text == "pub" && three[1].text == "mod" && three[2].text == name;
        self.root.is_some_and(|root| root.tokens.windows(3).any(declared))
    }
}

fn layer_of(module: &str) -> Option<u8> {
    let find = |name: &str| LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer);
    match module.split_once("::") {
        Some((top, _)) => find(module).or_else(|| find(&format!("{top}::*"))).or_else(|| find(top)),
        None => find(module),
    }
}

fn check_edges(file: &Source, tree: &Tree, faults: &mut Vec<String>) {
    if file.module.is_empty() {
        return;
    }
    let Some(layer) = layer_of(&file.module) else {
        let (path, module) = (&file.path, &file.module);
        faults.push(format!("{path}:1: module `{module}` is on no layer: give it one in tests/layers.rs"));
        return;
    };
    // A test makes what it needs with whatever makes it; nothing that is shipped leans on a test.
    if file.is_tests() {
        return;
    }
    for (token, leaf) in file.paths() {
        let Some(path) = from_root(file, tree, &leaf.path) else {
            continue;
        };
        let Some(first) = path.first() else { continue };
        let target = tree.module_of(&path).or_else(|| tree.re_export(first));
        // A file of a module without a layer is a fault of its own.
        let Some(target_layer) = target.and_then(|target| layer_of(&target)) else {
            continue;
        };
        let shown = leaf.path.join("::");
        let is_private = tree.modules.contains(first) && !tree.is_public_module(first);
        if target_layer > layer {
            let what = format!("layer {layer} names `{shown}` of layer {target_layer}, which stands above it");
            faults.push(file.fault(token, &what));
        } else if layer >= PUBLIC_API_ONLY && target_layer < layer && is_private {
            let what = format!("layer {layer} may use the public API alone, and `{shown}` is no part of it");
            faults.push(file.fault(token, &what));
        }
    }
}

/// The path from the root of the crate, or `None` where it leads elsewhere, such as into another crate.
fn from_root(file: &Source, tree: &Tree, path: &[String]) -> Option<Vec<String>> {
    let mut here: Vec<String> = file.module.split("::").map(String::from).collect();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" | "annals" => return Some(path[1..].to_vec()),
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                here.pop();
                rest = &rest[1..];
            }
        }
        // The name of a child module, in the module that declares it.
        first if tree.modules.contains(&format!("{}::{first}", file.module)) => {}
        _ => return None,
    }
    here.extend(rest.iter().cloned());
    Some(here)
}

fn check_unsafe(file: &Source, faults: &mut Vec<String>) {
    if UNSAFE_ALLOWED.iter().any(|(path, _)| *path == file.path) {
        return;
    }
    for token in &file.tokens {
        if token.text == "unsafe" || token.text == "unsafe_code" {
            let what = format!("`{}` outside the files that may hold it", token.text);
            faults.push(file.fault(token, &what));
        }
    }
}

fn check_os(file: &Source, faults: &mut Vec<String>) {
    let is_allowed = OS_ALLOWED.iter().any(|(path, _)| *path == file.path)
        || file.module.split("::").next() == Some(OS_LAYER)
        || file.is_tests()
        || layer_of(&file.module).is_some_and(|layer| layer >= PUBLIC_API_ONLY);
    if is_allowed {
        return;
    }
    // Tests within a file stand at its end and may do as tests do.
    let is_tests = |three: &[Token]| three[0].text == "mod" && three[1].text == "tests" && three[2].text == "{";
    let tests_line = file.tokens.windows(3).find(|three| is_tests(three)).map_or(usize::MAX, |three| three[0].line);
    for (token, leaf) in file.paths().filter(|(token, _)| token.line < tests_line) {
        let path = leaf.path.join("::");
        if OS_PATHS.iter().any(|os| path == *os || path.starts_with(&format!("{os}::"))) {
            faults.push(file.fault(token, &format!("`{path}`: only {OS_LAYER}/ meets the operating system")));
        }
    }
}

fn check_root(file: &Source, faults: &mut Vec<String>) {
    const ITEMS: &[&str] =
        &["fn", "struct", "enum", "union", "trait", "impl", "const", "static", "type", "macro_rules"];
    for token in &file.tokens {
        if ITEMS.contains(&token.text.as_str()) {
            let what = format!("`{}`: lib.rs holds crate docs and re-exports, nothing else", token.text);
            faults.push(file.fault(token, &what));
        }
    }
}

fn check_length(path: &str, text: &str, faults: &mut Vec<String>) {
    let is_test = !path.starts_with("src/") || path.ends_with("/tests.rs") || path.contains("/tests/");
    let limit = if is_test { TEST_CODE_LINES_MAX } else { CODE_LINES_MAX };
    let lines = code_lines(text);
    if lines > limit {
        faults.push(format!("{path}:1: {lines} lines of code, at most {limit} are allowed: split it"));
    }
}

/// Lines that hold code: neither blank nor comment alone.
fn code_lines(text: &str) -> usize {
    blank(text).lines().filter(|line| !line.trim().is_empty()).count()
}

/// A word, a `::` or one other character.
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

fn is_word_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn tokens(blanked: &str) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    for (index, line) in blanked.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word_char(first) {
                rest.find(|char| !is_word_char(char)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            out.push(Token { text: text.to_owned(), line: index + 1 });
            rest = after.trim_start();
        }
    }
    out
}

/// Whether a path of more than one part begins at this token and not earlier.
fn begins_path(tokens: &[Token], at: usize) -> bool {
    let continues = at > 0 && (tokens[at - 1].text == "::" || tokens[at - 1].text == ".");
    tokens[at].is_word() && !continues && tokens.get(at + 1).is_some_and(|next| next.text == "::")
}

/// One path out of a `use` tree, or a path in code.
struct Leaf {
    path: Vec<String>,
    /// The name that it has after `use`; none for `*` and `as _`.
    name: Option<String>,
}

/// The paths that begin at the first token, the tree in braces spread out.
fn leaves(tokens: &[Token]) -> Vec<Leaf> {
    let mut out = Vec::new();
    collect_leaves(tokens, &mut 0, &[], &mut out);
    out
}

fn collect_leaves(tokens: &[Token], at: &mut usize, prefix: &[String], out: &mut Vec<Leaf>) {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut path = prefix.to_vec();
    loop {
        if text(*at) == "{" {
            *at += 1;
            while !matches!(text(*at), "}" | "") {
                let before = *at;
                collect_leaves(tokens, at, &path, out);
                if text(*at) == "," {
                    *at += 1;
                } else if *at == before {
                    return;
                }
            }
            *at += 1;
            return;
        }
        if !tokens.get(*at).is_some_and(Token::is_word) {
            // `*`, the `<` of generics, or the end.
            *at += usize::from(text(*at) == "*");
            out.push(Leaf { path, name: None });
            return;
        }
        path.push(text(*at).to_owned());
        *at += 1;
        if text(*at) != "::" {
            break;
        }
        *at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut name = path.last().cloned();
    if text(*at) == "as" {
        name = Some(text(*at + 1).to_owned()).filter(|name| name != "_");
        *at += 2;
    }
    out.push(Leaf { path, name });
}

/// The text with comments and the content of literals replaced by spaces, so that lines keep their numbers.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let begins = |at: usize, two: [char; 2]| chars[at..].starts_with(&two);
    let space = |char: char| if char == '\n' { '\n' } else { ' ' };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        if begins(at, ['/', '/']) {
            at = (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len());
            out.extend(chars[start..at].iter().map(|_| ' '));
        } else if begins(at, ['/', '*']) {
            at = end_of_block_comment(&chars, at);
            out.extend(chars[start..at].iter().map(|&char| space(char)));
        } else if let Some(end) = end_of_literal(&chars, at) {
            at = end;
            // A literal is code on each of its lines, so a quote stands for the first character of each.
            let begins_line = |i: usize| i == start || chars[i - 1] == '\n';
            out.extend((start..at).map(|i| match chars[i] {
                '\n' => '\n',
                _ if begins_line(i) => '"',
                _ => ' ',
            }));
        } else {
            // A word goes whole, so that the r of `for` before a quote begins no raw string.
            at += chars[at..].iter().take_while(|char| is_word_char(**char)).count().max(1);
            out.extend(&chars[start..at]);
        }
    }
    out
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

/// Where the string or character literal that begins here ends, if one begins here.
fn end_of_literal(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start + usize::from(matches!(chars[start], 'b' | 'c'));
    if chars.get(at) == Some(&'r') {
        let hashes = chars[at + 1..].iter().take_while(|char| **char == '#').count();
        at += 1 + hashes;
        if chars.get(at) != Some(&'"') {
            return None;
        }
        let mut close = vec!['"'];
        close.extend(std::iter::repeat_n('#', hashes));
        let end = (at + 1..chars.len()).find(|&i| chars[i..].starts_with(&close));
        return Some(end.map_or(chars.len(), |end| end + close.len()));
    }
    let quote = *chars.get(at)?;
    // A lifetime has no closing quote behind its first character.
    let is_char = quote == '\'' && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\''));
    if quote != '"' && !is_char {
        return None;
    }
    at += 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    Some((at + 1).min(chars.len()))
}

mod the_checker_itself {
    use super::{Files, check, code_lines};

    const NONE: [&str; 0] = [];

    /// What the checker finds in a small sound crate with `text` put in the place of one of its files.
    fn faults(path: &str, text: &str) -> Vec<String> {
        let lib = "mod position; pub mod time; pub use position::Position;\nmod log; mod io; mod segment; mod store; \
                   pub use store::{Store, inner::Deep as Deeper}; mod cli; mod query;";
        let crate_files = [
            ("src/lib.rs", lib),
            ("src/position.rs", "pub struct Position;"),
            ("src/time.rs", ""),
            ("src/io/mod.rs", "mod disk; mod map;"),
            ("src/io/disk.rs", ""),
            ("src/io/map.rs", "#![allow(unsafe_code)] unsafe fn f() {}"),
            ("src/segment/mod.rs", ""),
            ("src/log/mod.rs", "mod commit;"),
            ("src/log/commit.rs", ""),
            ("src/query.rs", ""),
            ("src/query/plan.rs", ""),
            ("src/store.rs", ""),
            ("src/cli/mod.rs", ""),
        ];
        let mut files: Files = crate_files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        files.insert(path.to_owned(), text.to_owned());
        check(&files)
    }

    /// That there is one fault, in this file, whose line holds `what`.
    fn assert_one(path: &str, text: &str, what: &str) {
        let found = faults(path, text);
        assert!(found.len() == 1 && found[0].starts_with(path) && found[0].contains(what), "{text}: {found:?}");
    }

    #[test]
    fn a_sound_crate_passes() {
        for (path, text) in [
            ("src/log/commit.rs", "use crate::{io::disk::Disk, position::Position, time::{self, *}};"),
            ("src/log/commit.rs", "use super::Log; use crate::log; fn f(p: crate::Position) {}"),
            ("src/store.rs", "fn f() { crate::log::commit::run() } // crate::cli::run()"),
            ("src/io/disk.rs", "use std::fs::File; use rustix::fs; const S: &str = \"crate::store::Store\";"),
            (
                "src/io/disk.rs",
                "const S: &str = r#\"\"unsafe\" crate::store::S\"#; const C: char = '\"'; fn f<'a>() {}",
            ),
            ("src/io/disk.rs", "const S: &[u8] = b\"\\\" unsafe\"; /* /* unsafe */ unsafe */ const C: char = '\\'';"),
            ("src/query/plan.rs", "use crate::log::Log;"),
            ("src/log/commit.rs", "fn f() {} #[cfg(test)] mod tests { use std::fs; }"),
            ("src/log/tests.rs", "use std::fs;"),
            ("src/cli/mod.rs", "use crate::{Store, time::Timestamp}; use std::fs;"),
            ("src/position.rs", "/// See [`Store`](crate::store::Store).\nfn f() { match x { a::B { c } => d } }"),
        ] {
            assert_eq!(faults(path, text), NONE, "{path}: {text}");
        }
    }

    #[test]
    fn an_edge_upwards_is_found_however_it_is_written() {
        for (path, text) in [
            ("src/log/commit.rs", "use crate::store::Store;"),
            ("src/log/commit.rs", "use crate::Store;"),
            ("src/log/commit.rs", "use crate::Deeper;"),
            ("src/log/commit.rs", "use crate::{position::Position, store};"),
            ("src/log/commit.rs", "use crate::{io::{disk::Disk, self}, query::{Query, plan::{Plan}}};"),
            ("src/log/commit.rs", "use crate::store as low;"),
            ("src/log/commit.rs", "use super::super::store::Store;"),
            ("src/log/commit.rs", "#[cfg(test)] mod tests { use crate::store::Store; }"),
            ("src/log/mod.rs", "use super::store::Store;"),
            ("src/log/mod.rs", "fn f() -> crate::store::Store { todo!() }"),
            ("src/log/mod.rs", "fn f(x: Vec<crate::Store>) {}"),
            ("src/log/mod.rs", "macro_rules! m { () => { $crate::store::open() } }"),
            ("src/segment/mod.rs", "use crate::log::*;"),
            ("src/position.rs", "use crate::io;"),
            ("src/query.rs", "fn f() { plan::run() }"),
            ("src/query.rs", "use self::plan::Plan;"),
            ("src/time.rs", "const C: char = '\\''; use crate::io::disk; const D: char = '\\'';"),
            ("src/time.rs", "fn f<'a>(x: &'a str) -> &'a str { crate::io::disk::g::<'a>(x) }"),
        ] {
            assert_one(path, text, "which stands above it");
        }
    }

    #[test]
    fn the_line_of_a_fault_is_named() {
        let text = "//! Docs.\n/* a\nb */ const S: &str = \"\n\";\n\nuse crate::store::Store;\n";
        let fault = "src/log/commit.rs:6: layer 4 names `crate::store::Store` of layer 6, which stands above it";
        assert_eq!(faults("src/log/commit.rs", text), [fault]);
    }

    #[test]
    fn the_command_line_sees_the_public_api_alone() {
        assert_one("src/cli/mod.rs", "use crate::log::commit;", "public API alone");
        assert_one("src/main.rs", "use annals::log::commit;", "public API alone");
    }

    #[test]
    fn a_module_on_no_layer_is_found() {
        assert_one("src/helpers.rs", "", "is on no layer");
    }

    #[test]
    fn unsafe_is_found_outside_its_file() {
        for text in ["fn f() { unsafe { g() } }", "#![allow(unsafe_code)]", "unsafe impl Send for X {}"] {
            assert_one("src/io/disk.rs", text, "outside the files");
            assert_one("tests/model.rs", text, "outside the files");
        }
    }

    #[test]
    fn the_operating_system_is_found_outside_io() {
        for text in
            ["use std::fs::File;", "use std::{fs, io};", "fn f() { std::fs::read(p) }", "use rustix::fs::fdatasync;"]
        {
            assert_one("src/log/commit.rs", text, "operating system");
        }
    }

    #[test]
    fn an_item_in_lib_rs_is_found() {
        assert_one("src/lib.rs", "pub mod time; pub fn open() {}", "nothing else");
    }

    #[test]
    fn long_files_are_found_and_comments_cost_nothing() {
        let block = format!("/*\n{}*/\n", "text\n".repeat(500));
        let comments = "// a comment\n\n/// docs\n".repeat(500);
        let longest = format!("{block}{comments}{}", "let x = 1;\n".repeat(600));
        assert_eq!(code_lines(&longest), 600);
        assert_eq!(faults("src/log/commit.rs", &longest), NONE);
        assert_one("src/log/commit.rs", &format!("{longest}let y = 2;\n"), "601 lines of code, at most 600");
        assert_eq!(code_lines("let s = \"\none // two\n\";\n"), 3);
        for path in ["src/log/tests.rs", "tests/crash.rs"] {
            assert_eq!(faults(path, &"f();\n".repeat(900)), NONE);
            assert_one(path, &"f();\n".repeat(901), "901 lines of code, at most 900");
        }
    }
}
