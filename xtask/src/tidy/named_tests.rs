//! Tests that a Markdown page names by a link to their file must be in that file.

use std::path::{Path, PathBuf};

use super::Finding;

pub(super) fn check(root: &Path, files: &[PathBuf], findings: &mut Vec<Finding>) {
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "md"))
    {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            continue;
        };
        let base = root.join(file.parent().unwrap_or(Path::new("")));
        for (line, name, target) in named(&text) {
            // That there is such a file is what the rule for links says.
            let Ok(source) = std::fs::read_to_string(base.join(target)) else {
                continue;
            };
            if !has_word(&source, name) {
                let message = format!("names `{name}`, which is not in `{target}`");
                findings.push(Finding::error(file, line, message));
            }
        }
    }
}

/// Line numbers, names and targets of links whose text is one name in code and that lead to a Rust file.
fn named(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    text.lines().enumerate().flat_map(|(number, line)| {
        line.split("[`").skip(1).filter_map(move |rest| {
            let (name, rest) = rest.split_once("`](")?;
            let target = rest.split([')', '#']).next()?;
            let is_name = !name.is_empty() && name.chars().all(in_names);
            (is_name && target.ends_with(".rs")).then_some((number + 1, name, target))
        })
    })
}

fn has_word(source: &str, word: &str) -> bool {
    source.match_indices(word).any(|(at, _)| {
        let before = source[..at].chars().next_back();
        let after = source[at + word.len()..].chars().next();
        !before.is_some_and(in_names) && !after.is_some_and(in_names)
    })
}

fn in_names(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_links_to_rust_files() {
        let check = |text: &str, expected: &[(usize, &str, &str)]| {
            assert_eq!(named(text).collect::<Vec<_>>(), expected, "{text}");
        };
        check(
            "x\n| [`a_b`](../a.rs), [`c`](c.rs#top) |",
            &[(2, "a_b", "../a.rs"), (2, "c", "c.rs")],
        );
        check("[`a.rs`](a.rs) [`a`](a.md) [a](a.rs) `[` [`a", &[]);
    }

    #[test]
    fn names_are_whole_words() {
        let source = "fn holds() {}\nfn it_holds_twice() {}\ncases!(small large);";
        for (word, there) in [
            ("holds", true),
            ("large", true),
            ("it_holds", false),
            ("twice", false),
        ] {
            assert_eq!(has_word(source, word), there, "{word}");
        }
    }
}
