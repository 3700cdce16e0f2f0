//! The lists of a blob's blocks.

use crate::{ProtocolError, ProtocolErrorKind, xml};

/// The blocks of a blob: ids in base64 and sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Blocks {
    /// Those that make up the blob, in its order.
    pub(super) committed: Vec<(String, u64)>,
    /// Those that were put since.
    pub(super) uncommitted: Vec<(String, u64)>,
}

impl Blocks {
    /// Reads the answer to Get Block List.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let mut blocks = Self::default();
        let (mut name, mut size) = (None, None);
        let mut is_one = false;
        let walked = xml::walk(body, |path, text| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path[..] {
                ["BlockList"] => is_one = true,
                ["BlockList", _, "Block", "Name"] => name = Some(text.to_owned()),
                ["BlockList", _, "Block", "Size"] => size = text.parse().ok(),
                ["BlockList", list, "Block"] => {
                    let block = name.take().zip(size.take());
                    match list {
                        "CommittedBlocks" => blocks.committed.extend(block),
                        "UncommittedBlocks" => blocks.uncommitted.extend(block),
                        _ => (),
                    }
                }
                _ => (),
            }
        });
        match walked {
            Ok(()) if is_one => Ok(blocks),
            Ok(()) | Err(_) => {
                let what = "the list of blocks cannot be understood";
                Err(ProtocolError::new(ProtocolErrorKind::Parse, what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists() {
        type List<'a> = &'a [(&'a str, u64)];
        let check = |body: &str, expected: Option<(List<'_>, List<'_>)>| {
            let some = |list: List<'_>| -> Vec<_> {
                list.iter()
                    .map(|(id, size)| ((*id).to_owned(), *size))
                    .collect()
            };
            let expected = expected.map(|(committed, uncommitted)| Blocks {
                committed: some(committed),
                uncommitted: some(uncommitted),
            });
            assert_eq!(Blocks::parse(body.as_bytes()).ok(), expected, "{body}");
        };
        check(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\
             <CommittedBlocks><Block><Name>YQ==</Name><Size>4</Size></Block></CommittedBlocks>\
             <UncommittedBlocks><Block><Size>18446744073709551615</Size><Name> Yg== </Name></Block>\
             <Block><Name>Yw==</Name><Size>-1</Size></Block><Block><Name>Zg==</Name></Block></UncommittedBlocks></BlockList>",
            Some((&[("YQ==", 4)], &[("Yg==", u64::MAX)])),
        );
        check(
            "<BlockList><CommittedBlocks/><UncommittedBlocks /></BlockList>",
            Some((&[], &[])),
        );
        check("<BlockList />", Some((&[], &[])));
        for bad in [
            "",
            "<Error/>",
            "<BlockList>",
            "{}",
            "<BlockList></X>",
            "<a><BlockList/></a>",
        ] {
            check(bad, None);
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read(body in "(</?(BlockList|CommittedBlocks|Block|Name|Size)/?>|[0-9a-z=&;]{0,4}){0,20}") {
            let _ = Blocks::parse(body.as_bytes());
        }
    }
}
