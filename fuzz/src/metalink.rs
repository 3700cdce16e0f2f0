//! Metalink documents, as a hostile mirror network may publish them.

use std::path::{Component, Path};

use bytehaul::{Metalink, MetalinkFile};

use crate::headers::harmless;

/// A document that is accepted names files that stay in their directory, and downloads that can be checked beforehand.
pub fn metalink(data: &[u8]) {
    let metalink = match Metalink::parse(data) {
        Ok(metalink) => metalink,
        Err(error) => {
            assert!(error.line() >= 1 && error.column() >= 1, "{error}");
            assert!(error.to_string().len() < 300, "{error}");
            return;
        }
    };
    metalink.files().iter().for_each(file);
    for spec in metalink.specs("base") {
        let path = spec.output_path.as_deref().expect("a name");
        assert!(is_below(path, Path::new("base")), "{path:?}");
        spec.validate().expect("what was read can be used");
    }
}

fn file(file: &MetalinkFile) {
    file.name.split('/').for_each(harmless);
    if let (Some(size), Some(pieces)) = (file.size, &file.pieces) {
        let ranges: Vec<_> = pieces.ranges(size).collect();
        assert_eq!(ranges.len(), pieces.count());
        assert_eq!(ranges.last().map(|range| range.end), Some(size));
    }
    for pair in file.urls.windows(2) {
        assert!(pair[0].priority <= pair[1].priority, "{pair:?}");
    }
    let mut algorithms: Vec<_> = file.hashes.iter().map(|hash| hash.algorithm()).collect();
    algorithms.dedup();
    assert_eq!(algorithms.len(), file.hashes.len());
}

fn is_below(path: &Path, base: &Path) -> bool {
    path.strip_prefix(base).is_ok_and(|rest| {
        rest.components()
            .all(|part| matches!(part, Component::Normal(_)))
    })
}
