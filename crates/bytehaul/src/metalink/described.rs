//! Which file of a document is the one that is being downloaded, and what the document adds to what is known of it.

use bytehaul_integrity::Digest;
use bytehaul_transport::file_name::name_from_url;
use url::Url;

use super::headers::{Addresses, MOST_MIRRORS};
use super::{Metalink, MetalinkFile, MetalinkUrl, is_strong, strong};
use crate::piece_hashes::PieceHashes;

/// What a document adds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Described {
    /// Where else the file is, best first.
    pub(crate) mirrors: Vec<MetalinkUrl>,
    /// What the whole file hashes to; of any strength when there are no mirrors.
    pub(crate) digest: Option<Digest>,
    pub(crate) pieces: Option<PieceHashes>,
}

/// Reads what `document` says of the file at `about`, of which a length and digests are known already.
///
/// Mirrors only count beside a digest of SHA-256 or stronger, of the whole file or of each piece: as in header fields,
/// nothing else binds their bytes to this file.
///
/// # Errors
/// Why nothing of it is used: it does not speak of this file, or contradicts what is known of it.
pub(crate) fn described(
    document: &Metalink,
    about: &Addresses,
    len: Option<u64>,
    digests: &[Digest],
) -> Result<Described, &'static str> {
    let file = file_at(document, about, len).ok_or("it does not speak of this file")?;
    if let (Some(size), Some(len)) = (file.size, len)
        && size != len
    {
        return Err("it speaks of another size");
    }
    let is_other = |known: &Digest| {
        let mut hashes = file.hashes.iter();
        hashes.any(|hash| hash.algorithm() == known.algorithm() && hash != known)
    };
    if digests.iter().any(is_other) {
        return Err("it speaks of another checksum");
    }
    let pieces = match (&file.pieces, len) {
        (Some(pieces), Some(len)) if !pieces.fits(len) => {
            return Err("it speaks of pieces of another size");
        }
        (Some(pieces), Some(_)) => Some(pieces.clone()),
        (_, _) => None,
    };
    let bound = strong(&file.hashes).or_else(|| strong(digests));
    let are_bound = bound.is_some()
        || pieces
            .as_ref()
            .is_some_and(|pieces| is_strong(pieces.algorithm()));
    Ok(Described {
        mirrors: match are_bound {
            true => mirrors(file, about),
            false => Vec::new(),
        },
        digest: bound.or_else(|| file.hashes.first().copied()),
        pieces,
    })
}

/// The only file there is, or else the only one with this address, or with this name.
fn file_at<'a>(
    document: &'a Metalink,
    about: &Addresses,
    len: Option<u64>,
) -> Option<&'a MetalinkFile> {
    let files = document.files();
    if files.len() == 1 {
        return files.first();
    }
    let names = [&about.asked, &about.answered].map(name_from_url);
    let has_address = |file: &&MetalinkFile| file.urls.iter().any(|url| about.has(&url.url));
    let has_name = |file: &&MetalinkFile| {
        let name = file.name.rsplit('/').next();
        name.is_some() && names.iter().any(|known| known.as_deref() == name)
    };
    let has_size = |file: &&MetalinkFile| file.size.is_none() || len.is_none() || file.size == len;
    only(files.iter().filter(has_address))
        .or_else(|| only(files.iter().filter(has_name).filter(has_size)))
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

fn mirrors(file: &MetalinkFile, about: &Addresses) -> Vec<MetalinkUrl> {
    let mut mirrors: Vec<MetalinkUrl> = Vec::new();
    for named in &file.urls {
        let mut url: Url = named.url.clone();
        url.set_fragment(None);
        let is_news = !about.has(&url) && mirrors.iter().all(|known| known.url != url);
        if mirrors.len() < MOST_MIRRORS && is_news && about.may_lead_to(&url) {
            let priority = named.priority;
            let location = named.location.clone();
            mirrors.push(MetalinkUrl {
                url,
                priority,
                location,
            });
        }
    }
    mirrors
}

#[cfg(test)]
mod tests {
    use bytehaul_integrity::{Algorithm, Hasher};

    use super::*;

    const ABC: &str = "<hash type='sha-256'>ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad</hash>";
    const WEAK: &str = "<hash type='md5'>900150983cd24fb0d6963f7d28e17f72</hash>";
    const URLS: &str = "<url priority='2'>http://b/f</url><url priority='1'>https://a/f#x</url>\
        <url>http://u:p@x/f</url><url>ftp://x/f</url><url>http://h/f</url><url>http://b/f</url>";
    /// Of `abc`, in pieces of two bytes.
    const PIECES: &str = "<pieces type='sha-256' length='2'>\
        <hash>fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603</hash>\
        <hash>2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6</hash></pieces>";

    fn read(files: &str) -> Metalink {
        let text = format!("<metalink xmlns='urn:ietf:params:xml:ns:metalink'>{files}</metalink>");
        Metalink::parse(text.as_bytes()).expect("a document")
    }

    /// A file of three bytes at `http://h/f`, described so, with `abc` as what is known to be in it.
    #[track_caller]
    fn check(files: &str, expected: &str) {
        check_at("http://h/f", files, expected);
    }

    #[track_caller]
    fn check_at(url: &str, files: &str, expected: &str) {
        let url = Url::parse(url).expect("a URL");
        let about = Addresses {
            asked: url.clone(),
            answered: url,
        };
        let known = Hasher::digest(Algorithm::Sha512, b"abc");
        let shown = match described(&read(files), &about, Some(3), &[known]) {
            Ok(described) => shown(&described),
            Err(why) => why.to_owned(),
        };
        assert_eq!(shown, expected, "{files}");
    }

    fn shown(described: &Described) -> String {
        let mirrors = described
            .mirrors
            .iter()
            .map(|mirror| mirror.url.to_string());
        let digest = described
            .digest
            .map(|digest| digest.algorithm().to_string());
        format!(
            "{} {} {}",
            mirrors.collect::<Vec<_>>().join(" "),
            digest.unwrap_or_default(),
            described.pieces.as_ref().map_or(0, PieceHashes::count)
        )
    }

    fn file(name: &str, inside: &str) -> String {
        format!("<file name='{name}'>{inside}</file>")
    }

    #[test]
    fn a_document_adds_what_does_not_contradict() {
        let one = |inside: &str| file("any", inside);
        check(
            &one(&format!("<size>3</size>{ABC}{PIECES}{URLS}")),
            "https://a/f http://b/f sha-256 2",
        );
        check_at(
            "https://h/f",
            &one(&format!("{ABC}{URLS}")),
            "https://a/f sha-256 0",
        );
        check(
            &one(&format!("<size>4</size>{ABC}{URLS}")),
            "it speaks of another size",
        );
        let other = "<hash type='sha-512'>00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff</hash>";
        check(
            &one(&format!("{other}{URLS}")),
            "it speaks of another checksum",
        );
        let long = PIECES.replace("length='2'", "length='1'");
        check(
            &one(&format!("{ABC}{long}{URLS}")),
            "it speaks of pieces of another size",
        );
    }

    #[test]
    fn mirrors_need_a_strong_hash() {
        let url = Url::parse("http://h/f").expect("a URL");
        let about = Addresses {
            asked: url.clone(),
            answered: url,
        };
        for (inside, mirrors) in [(WEAK, 0), ("", 0), (PIECES, 2), (ABC, 2)] {
            let document = read(&file("f", &format!("{inside}{URLS}")));
            let described = described(&document, &about, Some(3), &[]).expect("of this file");
            assert_eq!(described.mirrors.len(), mirrors, "{inside}");
            assert_eq!(
                described.digest.is_some(),
                inside == WEAK || inside == ABC,
                "{inside}"
            );
        }
        let many: String = (0..40)
            .map(|n| format!("<url>http://{n}.m/f</url>"))
            .collect();
        let document = read(&file("f", &format!("{ABC}{many}")));
        let described = described(&document, &about, Some(3), &[]).expect("of this file");
        assert_eq!(described.mirrors.len(), MOST_MIRRORS);
    }

    #[test]
    fn the_file_is_the_one_with_the_address_or_the_name() {
        let with = |name: &str, inside: &str| file(name, &format!("{inside}{WEAK}"));
        let address = "<url>http://h/f</url>";
        check(&(with("a", address) + &with("f", ABC)), " sha-512 0");
        check(
            &(with("a", "") + &with("d/f", "<size>3</size>")),
            " sha-512 0",
        );
        check(
            &(with("a", address) + &with("b", address)),
            "it does not speak of this file",
        );
        check(
            &(with("a", "") + &with("f", "<size>4</size>")),
            "it does not speak of this file",
        );
    }
}
