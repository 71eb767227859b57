//! The repository as the rules see it: every Rust file, taken apart, with its tests told from its production code.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::lexer::{closing, take_apart};

/// A place that breaks a rule.
#[derive(Debug)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of literals blanked.
    pub code: String,
    /// The same with everything under `#[cfg(test)]` blanked too; all blank in a file that is only compiled for tests.
    pub production: String,
    pub strings: Vec<(usize, String)>,
    pub comments: Vec<(usize, String)>,
    pub is_test: bool,
}

impl Source {
    pub fn line_of(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    pub fn finding(&self, offset: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line: self.line_of(offset), message: message.into() }
    }

    /// The room of `src/` that the file belongs to: `db` for `src/db/file.rs`.
    pub fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split_once('/').map_or(inside.trim_end_matches(".rs"), |(room, _)| room))
    }

    /// Whether the place is compiled for tests only.
    pub fn is_test_at(&self, offset: usize) -> bool {
        self.is_test || self.test_ranges().iter().any(|(from, to)| (*from..*to).contains(&offset))
    }

    fn test_ranges(&self) -> Vec<(usize, usize)> {
        let starts = self.code.match_indices("#[cfg(test)]").map(|(from, _)| from);
        starts.map(|from| (from, item_end(&self.code, from))).collect()
    }

    /// String literals of production code.
    pub fn production_strings(&self) -> impl Iterator<Item = &(usize, String)> {
        self.strings.iter().filter(|(offset, _)| !self.is_test_at(*offset))
    }
}

pub struct Repo {
    pub root: PathBuf,
    pub sources: Vec<Source>,
}

impl Repo {
    /// The real one.
    pub fn open() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        for folder in ["src", "tests"] {
            walk(&root, &root.join(folder), &mut files);
        }
        files.sort();
        Self::of(root, files)
    }

    /// One that consists of these files; for tests of the rules.
    pub fn with(files: &[(&str, &str)]) -> Self {
        Self::of(PathBuf::new(), files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn of(root: PathBuf, files: Vec<(String, String)>) -> Self {
        let mut sources: Vec<Source> = files.into_iter().map(|(path, text)| source(path, text)).collect();
        let roots: Vec<String> = sources.iter().flat_map(test_modules).collect();
        for source in &mut sources {
            let is_below = |root: &String| source.path == *root || source.path.starts_with(&format!("{root}/"));
            source.is_test |= roots.iter().any(is_below);
            source.production = if source.is_test { blank(&source.code) } else { production(source) };
        }
        Self { root, sources }
    }

    /// Files of `src/`.
    pub fn house(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.path.starts_with("src/"))
    }
}

fn source(path: String, text: String) -> Source {
    let parts = take_apart(&text);
    let is_test = path.starts_with("tests/");
    let (code, strings, comments) = (parts.code, parts.strings, parts.comments);
    Source { path, text, code, production: String::new(), strings, comments, is_test }
}

fn production(source: &Source) -> String {
    let mut kept = source.code.clone();
    for (from, to) in source.test_ranges() {
        kept.replace_range(from..to, &blank(&source.code[from..to]));
    }
    kept
}

fn blank(code: &str) -> String {
    String::from_utf8(code.bytes().map(|byte| if byte == b'\n' { b'\n' } else { b' ' }).collect()).expect("ASCII")
}

/// Offset just behind the item or field that the attribute at `from` belongs to.
fn item_end(code: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        if !code[at..].starts_with("#[") {
            break;
        }
        at = closing(code, at + 1);
    }
    let word_len = code[at..].bytes().take_while(|byte| crate::lexer::is_word(*byte)).count();
    let after = code[at + word_len..].trim_start();
    let is_field = word_len > 0 && after.starts_with(':') && !after.starts_with("::");
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return closing(code, offset),
            b';' if depth == 0 => return offset + 1,
            b',' | b'}' if depth == 0 && is_field => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Files (and the folders of that name) that `source` declares with `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let is_folder_root = matches!(file, "mod.rs" | "lib.rs" | "main.rs");
    let below = if is_folder_root { folder.to_owned() } else { source.path.trim_end_matches(".rs").to_owned() };
    let mut found = Vec::new();
    for (from, to) in source.test_ranges() {
        let item = &source.code[from..to];
        let Some(name) = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")).map(|(_, name)| name.trim())
        else {
            continue;
        };
        let named = source.strings.iter().find(|(offset, _)| (from..to).contains(offset));
        match named {
            Some((_, path)) => found.push(format!("{folder}/{path}")),
            None => found.extend([format!("{below}/{name}.rs"), format!("{below}/{name}")]),
        }
    }
    found
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            files.push((name, fs::read_to_string(&path).expect("UTF-8")));
        }
    }
}

#[test]
fn test_code_is_told_from_production_code() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"odd.rs\"]\nmod other;\n\
                struct S {\n#[cfg(test)]\nb: Vec<u8>,\nc: u8 }\n#[cfg(test)]\nmod t { fn d() {} }\nfn e() {}";
    let repo = Repo::with(&[("src/x/mod.rs", text), ("src/x/tests.rs", "fn f() {}"), ("src/x/odd.rs", "fn g() {}")]);
    let kept: String = repo.sources[0].production.split_whitespace().collect();
    assert_eq!(kept, "fna(){}structS{c:u8}fne(){}");
    assert!(repo.sources[1].is_test && repo.sources[2].is_test);
}
