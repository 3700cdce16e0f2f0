//! What a Metalink document that an answer points to says of the file itself, as far as the two fit together (RFC 6249).

use bytehaul_integrity::Digest;
use bytehaul_transport::file_name::name_from_url;
use url::Url;

use super::headers::{Named, usable};
use super::{Metalink, MetalinkFile, is_strong};
use crate::identity::Identity;

/// Reads the document from `from` about the file at `asked`, of which an answer has said what is in `known`.
///
/// As with header fields, its mirrors count only beside a digest that is strong enough to bind them to the file, and
/// where either URL is `https` only `https` ones do.
///
/// # Errors
/// Why nothing of it can be used, in a few words without a URL.
pub(crate) fn described(
    document: &[u8],
    from: &Url,
    asked: &Url,
    known: &Identity,
) -> Result<Named, String> {
    let metalink = Metalink::parse(document).map_err(|error| error.to_string())?;
    let file = the_one(&metalink, asked).ok_or("it is about other files")?;
    if let (Some(size), Some(len)) = (file.size, known.len)
        && size != len
    {
        return Err(format!("it is about a file of {size} bytes"));
    }
    let contradicts = |hash: &Digest| {
        let same = known.digests.iter();
        same.filter(|known| known.algorithm() == hash.algorithm())
            .any(|known| known != hash)
    };
    if file.hashes.iter().any(contradicts) {
        return Err("its hashes are those of another file".into());
    }
    let strong = file.hashes.iter().find(|hash| is_strong(hash.algorithm()));
    let digest = *strong.ok_or("it has no hash that is strong enough")?;
    let mirrors = file.urls.iter().filter(|mirror| {
        let url = &mirror.url;
        let plain = url.username().is_empty() && url.password().is_none();
        usable(url, [asked, from]) && plain && url.has_host() && url != asked
    });
    Ok(Named {
        mirrors: mirrors.cloned().collect(),
        digest: Some(digest),
        description: None,
    })
}

/// The only file, or the one of that name.
fn the_one<'a>(metalink: &'a Metalink, asked: &Url) -> Option<&'a MetalinkFile> {
    if let [only] = metalink.files() {
        return Some(only);
    }
    let name = name_from_url(asked)?;
    let mut named = metalink
        .files()
        .iter()
        .filter(|file| file.name.rsplit('/').next() == Some(&name));
    named.next().filter(|_| named.next().is_none())
}

#[cfg(test)]
mod tests {
    use bytehaul_integrity::Algorithm;

    use super::*;

    const OF_F: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn file(name: &str, inside: &str) -> String {
        format!("<file name='{name}'>{inside}</file>")
    }

    #[track_caller]
    fn check(files: &str, from: &str, asked: &str, expected: &str) {
        let document =
            format!("<metalink xmlns='urn:ietf:params:xml:ns:metalink'>{files}</metalink>");
        let known = Identity {
            len: Some(3),
            digests: vec![Digest::parse(Algorithm::Md5, &"00".repeat(16)).unwrap()],
            ..Identity::default()
        };
        let url = |text: &str| Url::parse(text).unwrap();
        let found = described(document.as_bytes(), &url(from), &url(asked), &known);
        let text = match found {
            Ok(named) => {
                assert_eq!(named.digest.unwrap().hex(), OF_F);
                let urls = named.mirrors.iter().map(|mirror| mirror.url.as_str());
                urls.collect::<Vec<_>>().join(" ")
            }
            Err(reason) => reason,
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn what_fits_counts() {
        let urls = "<url priority='2'>http://b/f</url><url priority='1'>https://c/f</url>\
                    <url>http://h/f</url><url>http://u:p@d/f</url><url>ftp://e/f</url>";
        let good = format!("<hash type='sha-256'>{OF_F}</hash>{urls}");
        let here = |files: &str, expected: &str| {
            check(files, "http://h/f.meta4", "http://h/f", expected);
        };
        here(&file("any", &good), "https://c/f http://b/f");
        here(
            &[file("g", ""), file("d/f", &good)].concat(),
            "https://c/f http://b/f",
        );
        here(
            &[file("a", &good), file("b", &good)].concat(),
            "it is about other files",
        );
        here(
            &[file("a/f", &good), file("b/f", &good)].concat(),
            "it is about other files",
        );
        here(
            &file("f", &format!("<size>4</size>{good}")),
            "it is about a file of 4 bytes",
        );
        let md5 = "1".repeat(32);
        here(
            &file("f", &format!("<hash type='md5'>{md5}</hash>{good}")),
            "its hashes are those of another file",
        );
        here(&file("f", urls), "it has no hash that is strong enough");
        let one = file("f", &good);
        check(&one, "https://h/m", "http://h/f", "https://c/f");
        check(&one, "http://h/m", "https://h/f", "https://c/f");
    }
}
