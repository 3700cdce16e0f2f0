//! The format of a list of URLs: one a line, blank lines and `#` comments between them.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::usage::UsageError;

/// Reads the list in `file`, or on stdin when it is `-`.
pub(crate) fn read(file: &Path) -> Result<Vec<String>, UsageError> {
    let stdin = file == Path::new("-");
    let name = if stdin {
        "stdin".into()
    } else {
        file.display().to_string()
    };
    let bytes = if stdin { read_stdin() } else { fs::read(file) };
    let bytes =
        bytes.map_err(|error| UsageError::new(format!("read the URLs from {name}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| UsageError::new(format!("{name} is not UTF-8 text")))?;
    Ok(parse(&text))
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The URLs of a list. A `#` within a line is a part of the URL.
fn parse(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |text: &str, urls: &[&str]| assert_eq!(parse(text), urls, "{text:?}");
        check("", &[]);
        check("http://a/\nhttp://b/", &["http://a/", "http://b/"]);
        check(
            "# one\n\n  http://a/  \r\n\t# two\nhttp://b/#part\n",
            &["http://a/", "http://b/#part"],
        );
        check("\u{feff}http://a/\n", &["http://a/"]);
    }
}
