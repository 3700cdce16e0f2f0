//! Links in Markdown files that point into the repository must arrive somewhere.

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
        for (line, target) in local_links(&text) {
            if !base.join(&target).exists() {
                findings.push(Finding::error(
                    file,
                    line,
                    format!("link to `{target}`, which is not there"),
                ));
            }
        }
    }
}

/// Line numbers and targets of links to files, code left out.
fn local_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        for part in prose.split("](").skip(1) {
            let target = part.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                links.push((number + 1, target.to_owned()));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let check = |text: &str, expected: &[(usize, &str)]| {
            let found = local_links(text);
            let found: Vec<_> = found
                .iter()
                .map(|(line, target)| (*line, target.as_str()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "see [a](docs/a.md) and [b](b.md#part \"title\")",
            &[(1, "docs/a.md"), (1, "b.md")],
        );
        check("[web](https://example.com/x) [here](#there)", &[]);
        check(
            "`[no](no.md)`\n\n```text\n[no](no.md)\n```\n![yes](p.png)",
            &[(6, "p.png")],
        );
    }
}
