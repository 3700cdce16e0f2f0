//! What is wrong with a Metalink document, and where.

/// Why a document is no Metalink that can be used. Says the place and the element, and never repeats a URL.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct MetalinkError {
    line: u64,
    column: u64,
    what: String,
}

impl MetalinkError {
    /// The problem at a byte offset of the document.
    pub(super) fn at(document: &[u8], offset: u64, what: impl Into<String>) -> Self {
        let offset = usize::try_from(offset).map_or(document.len(), |at| at.min(document.len()));
        let before = &document[..offset];
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count();
        Self {
            line: lines as u64 + 1,
            column: column as u64 + 1,
            what: what.into(),
        }
    }

    /// The line, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> u64 {
        self.column
    }
}
