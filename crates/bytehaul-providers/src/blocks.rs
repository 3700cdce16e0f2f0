//! Block blobs of Azure, whoever signs the requests: the names of blocks, and the list that makes a blob of them.

use bytehaul_integrity::Hasher;
use data_encoding::BASE64;

use crate::Algorithm;
use crate::said::escape;

/// The version of the service that the requests are written for.
pub const VERSION: &str = "2023-11-03";

/// What happens when the blob exists when it is committed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Existing {
    /// It is replaced, in one step.
    #[default]
    Replace,
    /// The upload fails (`If-None-Match: *`), and the blob stays as it is.
    Refuse,
}

/// The block ids of one upload: all ids of a blob have to have the same length, and those of two uploads to the same blob must
/// not meet, or each would commit blocks of the other.
///
/// ```
/// use bytehaul_providers::presigned::azure::BlockIds;
///
/// let ids = BlockIds::of_session("4f1c");
/// assert_eq!(ids.id(0).len(), ids.id(49_999).len());
/// assert_ne!(ids.id(0), BlockIds::of_session("4f1d").id(0));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockIds {
    prefix: String,
}

impl BlockIds {
    /// The ids of the upload of this name, whatever its length. The name has to be another for each upload, such as a random
    /// one, and the same again to resume it.
    pub fn of_session(name: &str) -> Self {
        let mut prefix = Hasher::digest(Algorithm::Sha256, name.as_bytes()).hex();
        prefix.truncate(32);
        Self { prefix }
    }

    /// The id of a block, counted from 0: base64, as it is in a block list. In a URL it has to be percent-encoded.
    pub fn id(&self, index: u32) -> String {
        BASE64.encode(format!("{}-{index:010}", self.prefix).as_bytes())
    }
}

/// The body of Put Block List: these blocks in this order, each the latest of its id, whether committed or not. So it
/// can be sent again after its answer was lost.
pub fn block_list<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for id in ids {
        xml.push_str("<Latest>");
        escape(id, &mut xml);
        xml.push_str("</Latest>");
    }
    xml.push_str("</BlockList>");
    xml
}

/// Blocks of a blob, at most ([Put Block](https://learn.microsoft.com/rest/api/storageservices/put-block)).
pub(crate) const MOST_BLOCKS: u64 = 50_000;

/// Bytes of a block, at most.
pub(crate) const MOST_IN_A_BLOCK: u64 = 4000 * 1024 * 1024;
